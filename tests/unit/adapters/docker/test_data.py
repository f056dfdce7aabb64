"""Files on their way into a container: a tar made while it is sent, and read again from pieces of any size."""

from __future__ import annotations

import io
import subprocess
import tarfile
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from provision.adapters.docker import data
from provision.adapters.docker.data import Place


@given(st.binary(max_size=2000), st.integers(1, 700), st.integers(1, 600))
def test_a_file_is_packed_with_the_folders_on_its_way(content, piece, read):
    pieces = [content[start : start + piece] for start in range(0, len(content), piece)]
    place = Place("/var/lib/keystone", "fernet-keys/old/0", "keystone")
    packed = b"".join(data._tar(place, (101, 102), pieces, len(content)))
    assert len(packed) % tarfile.BLOCKSIZE == 0
    chunks = (packed[start : start + read] for start in range(0, len(packed), read))
    with tarfile.open(fileobj=data._Stream(chunks), mode="r|") as tar:
        found = [
            (
                info.name,
                info.isdir(),
                info.mode,
                info.uid,
                info.gid,
                b"" if info.isdir() else tar.extractfile(info).read(),
            )
            for info in tar
        ]
    assert found == [
        ("fernet-keys", True, 0o750, 101, 102, b""),
        ("fernet-keys/old", True, 0o750, 101, 102, b""),
        ("fernet-keys/old/0", False, 0o600, 101, 102, content),
    ]


def test_a_stream_of_pieces_is_read_like_a_file():
    stream = data._Stream([b"abc", b"", b"defg"])
    assert [stream.read(2), stream.read(3), stream.read(), stream.read(5)] == [b"ab", b"cde", b"fg", b""]


def test_it_is_an_ordinary_tar():
    packed = b"".join(data._tar(Place("/run", "x.sql", "root"), (0, 0), [b"1" * 512], 512))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["x.sql"]


class FakeContainers:
    """Containers that run to their end as programs of this machine, with a volume at its place.

    The engine's own logs go where nothing can be read again.
    """

    def __init__(self, volumes):
        self.volumes = volumes

    def run(self, image, *, entrypoint, volumes, network_mode, labels, remove, log_config=None):
        ((name, mount),) = volumes.items()
        assert (mount["mode"], network_mode, remove) == ("ro", "none", True)
        argv = [word.replace(mount["bind"], str(self.volumes[name])) for word in entrypoint]
        printed = subprocess.run(argv, check=True, capture_output=True).stdout
        return printed if log_config and log_config.type == "json-file" else None


def test_a_folder_of_a_volume_is_listed_without_its_content(tmp_path, monkeypatch):
    client = SimpleNamespace(containers=FakeContainers({"nova": tmp_path}))
    monkeypatch.setattr(data, "connect", lambda timeout: client)
    listed = data.ContainerData()
    assert listed.entries("i", "nova", "/var/lib/nova", "/var/lib/nova/instances") == []
    (tmp_path / "instances/one").mkdir(parents=True)
    (tmp_path / "instances/two words").mkdir()
    (tmp_path / "instances/one/disk").touch()
    assert listed.entries("i", "nova", "/var/lib/nova", "/var/lib/nova/instances") == ["one", "two words"]
