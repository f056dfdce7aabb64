"""The spec's fields as pydantic models: types, and the checks of single fields. Only this package uses them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from provision.base.constants import SPARK_HEAP_LEAST
from provision.base.model import (
    Bastion,
    ClusterSpec,
    HubSpec,
    ImageSpec,
    Limits,
    Login,
    MasterSpec,
    NetworkSpec,
    PackagesSpec,
    ProxySpec,
    SparkSpec,
    Spread,
    Tls,
    User,
    WorkersSpec,
)
from provision.clusterfile import logins, proxies, units
from provision.clusterfile.fields import (
    ClusterName,
    Listed,
    Named,
    Nameservers,
    OwnRange,
    Range,
    describe,
    duration,
    listed,
    named,
    size,
    switched_off,
    text,
    true_or_address,
)
from provision.clusterfile.pinned import default_entry
from provision.clusterfile.units import Wrong

_DEFAULT = ClusterSpec("analytics")
MOST_WORKERS: Final = 10_000
"""One Spark master, and one network, serve fewer than these."""
LEAST_TASKS: Final = 512
"""Processes and threads: JupyterLab, two kernels and a driver's JVM have about 250."""
LEAST_DISK: Final = 1024
"""MiB: JupyterLab's settings and history, and the scratch of a small driver."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class UserModel(_Model):
    """A notebook user; a bare name is accepted too."""

    name: Annotated[str, text(units.user_name)]
    admin: StrictBool = False
    groups: Annotated[list[Annotated[str, text(units.group_name)]], BeforeValidator(listed)] = Field(
        default_factory=list
    )
    must_change_password: StrictBool = False


def _user(value: object) -> object:
    return value if isinstance(value, dict) else {"name": value}


class TlsModel(_Model):
    """The user's certificate and key: paths of PEM files, relative to the spec's folder."""

    cert: Named
    key: Named


class NetworkModel(_Model):
    """The cluster's network: one that is created for it, or one that is there."""

    cidr: OwnRange = _DEFAULT.network.cidr
    external: Named = _DEFAULT.network.external
    existing: Named | None = None
    subnet: Named | None = None
    router: Named | None = None
    nameservers: Nameservers = Field(default_factory=list)
    floating_ip: Annotated[bool | str, BeforeValidator(true_or_address)] = _DEFAULT.network.floating_ip
    security_groups: Listed = Field(default_factory=list)
    access: list[Range] | None = None
    bastion: Annotated[Bastion, text(units.bastion)] | None = None


class MasterModel(_Model):
    """The master's server."""

    flavor: Named = _DEFAULT.master.flavor
    availability_zone: Named | None = None
    server_group: Named | None = None


class WorkersModel(_Model):
    """The workers' servers."""

    count: StrictInt = _DEFAULT.workers.count
    flavor: Named = _DEFAULT.workers.flavor
    availability_zone: Named | None = None
    spread: Annotated[Spread, BeforeValidator(switched_off)] = _DEFAULT.workers.spread
    server_group: Named | None = None

    @field_validator("count")
    @classmethod
    def _some(cls, value: int) -> int:
        if value < 1:
            raise Wrong(f"{value} workers cannot compute", "Ask for at least 1.")
        if value > MOST_WORKERS:
            raise Wrong(f"{value} workers are more than a cluster has", f"Ask for {MOST_WORKERS} or fewer.")
        return value


class SparkModel(_Model):
    """Spark's settings."""

    app_cores: StrictInt | None = None
    user_cores: StrictInt | None = None
    executor_memory: Annotated[int, BeforeValidator(size)] | None = None
    defaults: dict[str, Any] = Field(default_factory=dict)
    packages: Listed = Field(default_factory=list)

    @field_validator("app_cores", "user_cores")
    @classmethod
    def _some(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and value < 1:
            who = "a notebook" if info.field_name == "app_cores" else "a user"
            raise Wrong(f"{who} with {value} cores cannot compute", "Ask for at least 1.")
        return value

    @field_validator("executor_memory")
    @classmethod
    def _enough(cls, value: int | None) -> int | None:
        # Spark refuses executors with less than 1.5 times its 300 MiB of reserved memory.
        if value is not None and value < SPARK_HEAP_LEAST:
            raise Wrong(
                f"{value} MiB is less than a Spark executor starts with", f"Ask for at least {SPARK_HEAP_LEAST}m."
            )
        return value


class LimitsModel(_Model):
    """What each user may take of the master."""

    memory: Annotated[int, BeforeValidator(size)] | None = None
    cores: StrictInt | None = None
    tasks: StrictInt = _DEFAULT.hub.limits.tasks
    disk: Annotated[int, BeforeValidator(size)] | None = None

    @field_validator("disk")
    @classmethod
    def _room(cls, value: int | None) -> int | None:
        if value is not None and value < LEAST_DISK:
            raise Wrong(
                f"{value} MiB of disk are too little for a home folder and Spark's scratch",
                f"Ask for at least {LEAST_DISK}m.",
            )
        return value

    @field_validator("cores")
    @classmethod
    def _some(cls, value: int | None) -> int | None:
        if value is not None and value < 1:
            raise Wrong(f"a user with {value} cores cannot compute", "Ask for at least 1.")
        return value

    @field_validator("tasks")
    @classmethod
    def _enough(cls, value: int) -> int:
        if value < LEAST_TASKS:
            raise Wrong(
                f"{value} processes and threads are too few for a notebook and its driver",
                f"Ask for at least {LEAST_TASKS}.",
            )
        return value


class OidcModel(_Model):
    """A login server that speaks OIDC."""

    issuer: Annotated[str, text(logins.issuer)]
    client_id: Named
    client_secret_file: Named | None = None
    client_secret_env: Named | None = None
    username_claim: Named = "preferred_username"
    groups_claim: Named = "groups"
    scopes: Listed = Field(default_factory=lambda: ["openid", "profile", "email"])
    claims: Literal["userinfo", "id_token"] = "userinfo"
    title: Named | None = None


class LdapModel(_Model):
    """A directory."""

    server: Annotated[str, text(logins.host)]
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = None
    tls: Literal["ldaps", "starttls"] = "ldaps"
    user_dn: Annotated[str, text(logins.user_dn)] | None = None
    search_base: Named | None = None
    user_attribute: Named = "uid"
    bind_dn: Named | None = None
    bind_password_file: Named | None = None
    bind_password_env: Named | None = None


class LoginModel(_Model):
    """Logins by a server of the user's own, instead of PAM."""

    oidc: OidcModel | None = None
    ldap: LdapModel | None = None
    ca_file: Named | None = None
    email_domain: Annotated[str, text(logins.email_domain)] | None = None
    allow_all: StrictBool = False
    allowed_users: Listed = Field(default_factory=list)
    allowed_groups: Listed = Field(default_factory=list)
    denied_users: Listed = Field(default_factory=list)
    admin_users: Listed = Field(default_factory=list)
    admin_groups: Listed = Field(default_factory=list)


class HubModel(_Model):
    """The JupyterHub."""

    on: Literal["master", "node"] = "master"
    flavor: Named = _DEFAULT.master.flavor
    availability_zone: Named | None = None
    server_group: Named | None = None
    port: StrictInt = _DEFAULT.hub.port
    idle_timeout: Annotated[int, BeforeValidator(duration)] = _DEFAULT.hub.idle_timeout
    limits: LimitsModel = Field(default_factory=LimitsModel)
    tls: TlsModel | None = None
    login: LoginModel | None = None
    users: list[Annotated[UserModel, BeforeValidator(_user)]] = Field(
        default_factory=lambda: [UserModel(name=user.name, admin=user.admin) for user in _DEFAULT.hub.users]
    )

    @model_validator(mode="before")
    @classmethod
    def _made_at_logins(cls, value: object) -> object:
        # Logins make the accounts: the default user is for PAM.
        if isinstance(value, dict) and value.get("login") and "users" not in value:
            return value | {"users": []}
        return value

    @field_validator("port")
    @classmethod
    def _free(cls, value: int) -> int:
        return units.hub_port(value)


class ImageModel(_Model):
    """The nodes' image; the bare name of a golden image is accepted too."""

    name: Named
    stock: StrictBool = _DEFAULT.image.stock
    sources: Literal["image", "host"] = _DEFAULT.image.sources


def _image(value: object) -> object:
    if isinstance(value, dict):
        return value
    if isinstance(value, bool) or not isinstance(value, str):
        raise Wrong(f"{describe(value)} where text belongs", "Write a name, or a map: {name: debian-13, stock: true}.")
    return {"name": named(value)}


class ProxyModel(_Model):
    """The proxies of the nodes; the address of one for both is accepted too."""

    http: Annotated[str, text(proxies.proxy)] | None = None
    https: Annotated[str, text(proxies.proxy)] | None = None
    no_proxy: Annotated[list[Annotated[str, text(proxies.direct)]], BeforeValidator(listed)] = Field(
        default_factory=list
    )


def _proxy(value: object) -> object:
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, bool) or not isinstance(value, str):
        raise Wrong(f"{describe(value)} where an address belongs", "Write http://HOST:PORT, or a map: {http: …}.")
    address = proxies.proxy(value)
    return {"http": address, "https": address}


class ClusterModel(_Model):
    """A whole cluster.yaml."""

    name: ClusterName
    cloud: Named = _DEFAULT.cloud
    image: Annotated[ImageModel, BeforeValidator(_image)] = Field(
        default_factory=lambda: ImageModel(name=_DEFAULT.image.name)
    )
    key_pair: Named | None = None
    network: NetworkModel = Field(default_factory=NetworkModel)
    master: MasterModel = Field(default_factory=MasterModel)
    workers: WorkersModel = Field(default_factory=WorkersModel)
    spark: SparkModel = Field(default_factory=SparkModel)
    hub: HubModel = Field(default_factory=HubModel)
    packages: Listed = Field(default_factory=list)
    monitoring: StrictBool = _DEFAULT.monitoring
    proxy: Annotated[ProxyModel | None, BeforeValidator(_proxy)] = None

    @field_validator("network", "master", "workers", "spark", "hub", mode="before")
    @classmethod
    def _section(cls, value: object, info: ValidationInfo) -> object:
        # `hub:` with nothing below it, as a commented file leaves it, means the defaults.
        if value is None:
            return {}
        if not isinstance(value, dict | BaseModel):
            raise Wrong(
                f"{describe(value)} where a map belongs", f"Write `{info.field_name}:` and its fields below it."
            )
        return value


def _node(model: MasterModel | HubModel) -> MasterSpec:
    return MasterSpec(model.flavor, model.availability_zone or "", model.server_group or "")


def to_spec(
    model: ClusterModel, tls: Tls | None, packages: PackagesSpec | None = None, login: Login | None = None
) -> ClusterSpec:
    """Return the checked fields as plain data (base/model.py); `tls`, `packages` and `login` have absolute paths."""
    return ClusterSpec(
        name=model.name,
        cloud=model.cloud,
        image=ImageSpec(model.image.name, model.image.stock, model.image.sources),
        key_pair=model.key_pair or "",
        network=NetworkSpec(
            cidr=model.network.cidr,
            external=model.network.external,
            existing=model.network.existing or "",
            subnet=model.network.subnet or "",
            router=model.network.router or "",
            nameservers=tuple(model.network.nameservers),
            floating_ip=model.network.floating_ip,
            security_groups=tuple(model.network.security_groups),
            access=None if model.network.access is None else tuple(model.network.access),
            bastion=model.network.bastion,
        ),
        master=_node(model.master),
        workers=WorkersSpec(
            model.workers.count,
            model.workers.flavor,
            model.workers.availability_zone or "",
            model.workers.spread,
            model.workers.server_group or "",
        ),
        spark=SparkSpec(
            app_cores=model.spark.app_cores,
            user_cores=model.spark.user_cores,
            executor_memory_mib=model.spark.executor_memory,
            defaults=tuple(sorted((key, default_entry(key, value)) for key, value in model.spark.defaults.items())),
        ),
        hub=HubSpec(
            port=model.hub.port,
            idle_timeout=model.hub.idle_timeout,
            limits=Limits(
                memory_mib=model.hub.limits.memory,
                cores=model.hub.limits.cores,
                tasks=model.hub.limits.tasks,
                disk_mib=model.hub.limits.disk,
            ),
            tls=tls,
            login=login,
            node=_node(model.hub) if model.hub.on == "node" else None,
            users=tuple(
                User(user.name, user.admin, tuple(sorted(user.groups)), user.must_change_password)
                for user in model.hub.users
            ),
        ),
        packages=packages or PackagesSpec(),
        monitoring=model.monitoring,
        proxy=ProxySpec(model.proxy.http or "", model.proxy.https or "", tuple(model.proxy.no_proxy))
        if model.proxy
        else ProxySpec(),
    )
