"""What is left out of text that is shown, and what stays."""

from __future__ import annotations

import time

import pytest

from provision.model.finding import Finding
from provision.model.masking import SECRET_NAME, findings_masked, masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the key is 0123456789abcdef, yes", "the key is ***, yes"),
        ("pip install from https://bob:hunter2@pypi.example.org/x", "pip install from https://***@pypi.example.org/x"),
        ("git clone https://ghp_abc@git.example.org", "git clone https://***@git.example.org"),
        ("db=postgres://u:p@h/d", "db=postgres://***@h/d"),
        ("Authorization: token abc.def", "Authorization: token ***"),
        ('{"Authorization": "Bearer abc"}', '{"Authorization": "Bearer ***"}'),
        ("GET /hub/api?token=abc&x=1", "GET /hub/api?token=***&x=1"),
        ("-Dspark.authenticate.secret=abc -Xmx1g", "-Dspark.authenticate.secret=*** -Xmx1g"),
        ('"password": "abc"', '"password": "***"'),
    ],
)
def test_secrets_are_left_out(text, shown):
    assert masked(text, ["0123456789abcdef"]) == shown


@pytest.mark.parametrize(
    "text",
    [
        '"--driver-url" "spark://CoarseGrainedScheduler@10.20.0.5:7100"',
        "Failed password for root from 192.0.2.1",
        "https://hub.example.org/user/alice/lab?token=[secret]",
        "alice@example.org: ok",
    ],
)
def test_what_is_no_secret_stays(text):
    assert masked(text, ["", "ok", "root"]) == text


def test_a_hostile_line_takes_no_time():
    for text in ("a." * 50_000, "token" + " " * 50_000, "://:" * 20_000, "authorization: token " * 5_000):
        began = time.process_time()
        masked(text)
        assert time.process_time() - began < 5


def test_the_longer_of_two_values_goes_first():
    assert masked("secretsecret-more", ["secretsecret", "secretsecret-more"]) == "***"


@pytest.mark.parametrize("name", ["spark.hadoop.fs.s3a.secret.key", "fs.s3a.access.key", "x.PASSWORD", "api-token"])
def test_names_of_secrets(name):
    assert SECRET_NAME.search(name)


def test_findings_say_no_secret_anywhere():
    said = "0123456789abcdef, token=x"
    (found,) = findings_masked([Finding("r", said, said, said, (said, "well"))], ["0123456789abcdef"])
    assert found == Finding("r", "***, token=***", "***, token=***", "***, token=***", ("***, token=***", "well"))
