"""What openstacksdk reads of a user's clouds: which file, which entry, and whether the cloud has what that names."""

from __future__ import annotations

import os
import ssl
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provision.base import paths
from provision.base.constants import LOCAL_CLOUD
from provision.base.errors import ProvisionError, UsageError
from provision.base.named_files import UnreadableError, read_bytes

if TYPE_CHECKING:
    from openstack.config.cloud_region import CloudRegion
    from openstack.config.loader import OpenStackConfig
    from openstack.connection import Connection

_SERVICES: Final = ("compute", "network", "image")


def candidates() -> tuple[Path, ...]:
    """Return the files in which openstacksdk looks for clouds, in its own order: it reads the first that it can."""
    from openstack.config import loader

    named = os.environ.get("OS_CLIENT_CONFIG_FILE")
    return tuple(Path(name) for name in ([named] if named else []) + loader.CONFIG_FILES)


def in_working_folder(file: Path) -> bool:
    """Whether a file of `candidates()` is one only as long as commands run in this folder."""
    from openstack.config import loader

    return file.parent == Path(loader.CONFIG_SEARCH_PATH[0]) and str(file) != os.environ.get("OS_CLIENT_CONFIG_FILE")


def own_file() -> Path:
    """Return the user's own file, from whatever folder a command runs; the local cloud's entry is written there."""
    from openstack.config import loader

    named = os.environ.get("OS_CLIENT_CONFIG_FILE")
    if named:
        return Path(named)
    usual = paths.clouds_yaml()
    folders = (usual.parent, Path(loader.CONFIG_HOME), Path(loader.UNIX_CONFIG_HOME))
    mine = [file for file in candidates() if file.parent in folders and not in_working_folder(file)]
    return next((file for file in mine if file.exists()), usual)


def load(files: list[str] | None = None) -> OpenStackConfig:
    """Read the clouds as openstacksdk does, from `files` or from where it looks. Raises UsageError."""
    from openstack.config.loader import OpenStackConfig

    try:
        with warnings.catch_warnings():
            # They are about the entries of other tools, or say what an error of ours says.
            warnings.simplefilter("ignore")
            return OpenStackConfig(config_files=files, app_name="provision")
    except Exception as error:
        # A file whose entries have another shape surfaces as almost anything.
        problem = skipped() or f"{type(error).__name__}: {' '.join(str(error).split())}"
        if isinstance(error, AttributeError | TypeError):
            problem = skipped() or f"`clouds` of {_first_file()} is not a map of entries"
        raise UsageError(f"clouds.yaml cannot be read: {problem}", f"Look at {_first_file()}.") from None


def find(name: str, source: str = "") -> tuple[CloudRegion, Path | None]:
    """Return the entry of cloud `name` as openstacksdk reads it, and its file; `source` names the spec's file.

    Raises UsageError when there is none, or a file that it names cannot be used.
    """
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import SDKException

    config = load()
    if name == LOCAL_CLOUD and name not in config.cloud_config["clouds"] and own_file().exists():
        # A clouds.yaml in the working folder hides the one in which our entry is.
        config = load([str(own_file())])
    file = Path(config.config_filename) if config.config_filename else None
    there = name in config.cloud_config["clouds"]
    if there and (wrong := _shape(config.cloud_config["clouds"][name])):
        raise _unusable(name, source, file, wrong, there=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            region = config.get_one(cloud=name)
        if not region.config.get("auth", {}).get("auth_url") and region.config.get("auth_type") != "none":
            raise _unusable(name, source, file, "its entry has no auth_url", there=there)
    except (SDKException, ClientException) as error:
        raise _unusable(name, source, file, " ".join(str(error).split()), there=there) from None
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise _unusable(name, source, file, f"its entry has another shape ({error})", there=there) from None
    _require_scheme(name, region, file)
    _refuse_unusable_files(name, region, file or _first_file())
    return region, file


def _shape(entry: object) -> str:
    """Say what an entry is where it is no map of fields with a map `auth`; empty where it is that."""
    if not isinstance(entry, dict):
        return "its entry is empty" if entry is None else "its entry is not a map of fields"
    auth = entry.get("auth", {})
    if not isinstance(auth, dict):
        return "`auth` of its entry is " + ("empty" if auth is None else "not a map of fields")
    url = auth.get("auth_url")
    return "" if url is None or isinstance(url, str) else "`auth_url` of its entry is not text"


def _require_scheme(name: str, region: CloudRegion, file: Path | None) -> None:
    """Refuse an address that openstacksdk would look for in the catalogue of a login that it has not."""
    url = str(region.config.get("auth", {}).get("auth_url") or "")
    if url and not url.lower().startswith(("https://", "http://")):
        host = url.rpartition("@")[2].rpartition("://")[2]
        raise UsageError(
            f"cloud {name!r}: auth_url: it does not begin with https://",
            f"Write https://{host} as `auth_url` of {name!r} in {file or _first_file()}.",
        )


def skipped() -> str:
    """Say which file openstacksdk has passed over in silence because it cannot be read; empty when there is none."""
    import json

    import yaml

    for file in candidates():
        try:
            text = read_bytes(file).decode()
            data = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
        except UnreadableError as error:
            if file.exists():
                return str(error)
        except (ValueError, yaml.YAMLError) as error:
            return f"{file} cannot be read: {' '.join(str(error).split())}"
        else:
            return "" if isinstance(data, dict) else f"{file} holds no mapping"
    return ""


def check_scope(name: str, region: CloudRegion, connection: Connection, file: Path | None) -> None:
    """Check that a login is for a project and a region that the cloud has. Raises UsageError with those that exist."""
    entry = f"{name!r} in {file or _first_file()}"
    auth: Any = connection.session.auth
    get_access = getattr(auth, "get_access", None)
    if get_access is None:
        return  # a kind of login without a catalogue
    access = get_access(connection.session)
    if not access.project_id:
        known = ", ".join(_projects(connection, region))
        raise UsageError(
            f"cloud {name!r}: the login is for no project",
            f"Add `project_name` to `auth` of {entry}" + (f"; you are in: {known}." if known else "."),
        )
    for service in _SERVICES:
        if region.get_endpoint(service):
            continue
        found = access.service_catalog.get_endpoints_data(
            service_type=service, interface=region.get_interface(service) or "public"
        )
        regions = sorted(
            {str(each.region_name) for endpoints in found.values() for each in endpoints if each.region_name}
        )
        if not any(found.values()):
            raise ProvisionError(
                f"cloud {name!r} offers no {service} service",
                f"Check the project, and `interface`, of {entry}; the cloud's operator knows what it offers.",
            )
        asked = region.get_region_name(service)
        if asked and asked not in regions:
            raise UsageError(
                f"cloud {name!r} has no region {asked!r} for its {service} service",
                f"Set `region_name` of {entry} to one that it has: {', '.join(regions)}.",
            )
        if not asked and len(regions) > 1:
            raise UsageError(
                f"cloud {name!r} has several regions: {', '.join(regions)}", f"Add `region_name` to {entry}."
            )


def _projects(connection: Connection, region: CloudRegion) -> list[str]:
    """Name the projects that the user could log in to; none where the cloud does not tell."""
    base = str(region.config["auth"]["auth_url"]).rstrip("/")
    url = base if base.endswith("/v3") else f"{base}/v3"
    with suppress(Exception):
        answer = connection.session.get(f"{url}/auth/projects", authenticated=True)
        return sorted(str(project["name"]) for project in answer.json()["projects"])
    return []


def _unusable(name: str, source: str, file: Path | None, reason: str, *, there: bool) -> UsageError:
    """Return the error for an entry that cannot be used, or that is not `there`."""
    from provision.adapters.openstack.session import UP_HINT

    if there:
        hint = f"Correct entry {name!r} of {file or _first_file()}: `auth` has its auth_url, and how you log in there."
    else:
        hint = UP_HINT if name == LOCAL_CLOUD else _where_to_add(name, file)
    # `cloud up` writes the local cloud's entry, so a missing one is no mistake in the spec.
    where = f"{source}: cloud: " if source and name != LOCAL_CLOUD else ""
    broken = skipped()
    if " cannot be read: " in broken:
        hint = f"Correct {broken.partition(' cannot be read: ')[0]}: the entry of cloud {name!r} belongs there."
    reason = broken or (reason if file is None else f"{reason.rstrip('.')} ({file} was read)")
    return UsageError(f"{where}there is no usable cloud {name!r} in clouds.yaml: {reason}", hint)


def _where_to_add(name: str, file: Path | None) -> str:
    """Say where an entry belongs, or which file has it and is not read."""
    import yaml

    for other in candidates():
        if file is None or other == file or not other.exists():
            continue
        with suppress(UnreadableError, ValueError, yaml.YAMLError, AttributeError, TypeError):
            if name in yaml.safe_load(read_bytes(other))["clouds"]:
                return (
                    f"{other} has it, and is not read because {file} is there: move the entry, or set "
                    f"OS_CLIENT_CONFIG_FILE={other}."
                )
    # One that OS_CLIENT_CONFIG_FILE names is meant, also where openstacksdk has passed it over in silence.
    wanted = os.environ.get("OS_CLIENT_CONFIG_FILE") or file or _first_file()
    return f"Add it to {wanted}, or name another one in the spec (field `cloud`)."


def _first_file() -> Path:
    """Return the file that openstacksdk tries to read first of those that are there, or else the user's own."""
    return next((file for file in candidates() if file.exists()), paths.clouds_yaml())


def _refuse_unusable_files(name: str, region: CloudRegion, file: Path) -> None:
    """Check the certificates that an entry names: requests fails without a word about the entry."""
    verify, cert = region.get_requests_verify_args()
    named = {"cacert": verify, "cert": cert[0] if isinstance(cert, tuple) else cert}
    if isinstance(cert, tuple):
        named["key"] = cert[1]
    for field, value in named.items():
        if not isinstance(value, str):
            continue
        path = Path(value)
        try:
            if field == "cacert" and path.is_dir():
                continue  # a folder of certificates, as `openssl rehash` makes it
            read_bytes(path)
            if field == "cacert":
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except UnreadableError as error:
            beside = "" if path.is_absolute() else _relative_hint(path, file)
            hint = f"Correct `{field}` of {name!r} in {file}.{beside}"
            raise UsageError(f"cloud {name!r}: {field}: {error}", hint) from None
        except ssl.SSLError:
            raise UsageError(
                f"cloud {name!r}: {field}: {path} holds no PEM certificate", f"Correct it in {file}."
            ) from None


def _relative_hint(path: Path, file: Path) -> str:
    """A relative path is one in the working folder, for openstacksdk; people often mean the file's own folder."""
    beside = file.parent / path
    if beside.exists():
        return f" A relative path is looked for in the working folder: write {beside}."
    return " A relative path is looked for in the working folder: write an absolute one."
