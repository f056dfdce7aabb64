"""`provision doctor`: what is wrong with a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provision.cli.spec import file_option, load_spec, source_of

if TYPE_CHECKING:
    from pathlib import Path

    from provision.base.model import ClusterSpec
    from provision.model.finding import Finding


@click.command()
@file_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--job", is_flag=True, help="If nothing is wrong, run a small Spark job too.")
def doctor(file: Path | None, *, as_json: bool, job: bool) -> int:
    """Say what is wrong with the cluster, and what to do about it.

    Asks the cloud, every node, Spark and the Hub, and changes nothing. Causes come first, and what follows from them is
    not listed. The exit code is 1 if something is wrong.
    """
    from dataclasses import asdict

    from provision.cli.terminal import print_json, visible
    from provision.model.finding import text

    # A certificate that has expired since must not hide what is wrong.
    spec = load_spec(file, files=False)
    findings = _findings(spec, source_of(file), job=job)
    if as_json:
        print_json({"healthy": not findings, "findings": [asdict(finding) for finding in findings]})
    else:
        # Lines of logs are anybody's.
        click.echo(visible(text(findings, "No problem found.")))
    return 1 if findings else 0


def _findings(spec: ClusterSpec, source: str, *, job: bool) -> list[Finding]:
    from provision.adapters.openstack.cloud import connect
    from provision.model.doctor.rules import diagnose
    from provision.model.masking import findings_masked
    from provision.operations.cluster.resolve import find_cluster_dir
    from provision.operations.doctor.examine import examine

    cloud = connect(spec.cloud, source)
    findings = diagnose(examine(cloud, spec))
    if job and not findings:
        from provision.operations.doctor.job import run_job

        findings = run_job(cloud, spec, source)
    return findings_masked(findings, find_cluster_dir(cloud, spec.name).secret_values()) if findings else []
