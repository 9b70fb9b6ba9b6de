"""Jars are copied by Maven and verified; a missing Maven and a wrong jar are one line that names the server."""

import hashlib
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.install import installs
from infra.install.installs import KAFKA, SPARK, Jars, install_steps
from infra.servers import kafka
from sluice.errors import SluiceError
from sluice.settings import Settings
from sluice.settings.spark import SPARK_JARS

# Downloads two jars: what their lines in the test say.
MAVEN = """\
#!/bin/bash
for word in "$@"; do case "$word" in -DoutputDirectory=*) folder="${word#*=}" ;; esac; done
printf a >"$folder/a.jar"
printf b >"$folder/b.jar"
"""
NAMESPACE = {"m": "http://maven.apache.org/POM/4.0.0"}


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jars:
    """Jars whose hashes are right, and a Maven that provides them."""
    maven = tmp_path / "bin" / "mvn"
    maven.parent.mkdir()
    maven.write_text(MAVEN)
    maven.chmod(0o755)
    monkeypatch.setattr(installs.toolchains, "find_maven", lambda: maven)
    monkeypatch.setattr(installs.toolchains, "java", lambda: "/opt/java/bin/java")
    lines = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}.jar\n" for name in "ab"]
    (tmp_path / "jars.sha256").write_text("".join(lines))
    return Jars("Example", tmp_path, tmp_path / "target")


def copy(jars: Jars) -> bool:
    return installs._copy_jars(jars, jars.source / "log", threading.Event())


def test_jars_are_copied_once(jars: Jars) -> None:
    assert copy(jars)
    assert sorted(path.name for path in jars.target.iterdir()) == ["a.jar", "b.jar"]
    assert not copy(jars)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda text: text.replace("  b.jar", "0  b.jar"), "b.jar"),
        (lambda text: text.splitlines()[1], "a.jar"),
        (lambda text: f"{text}{'0' * 64}  c.jar\n", "c.jar"),
    ],
    ids=["another hash", "one that is not listed", "one that is missing"],
)
def test_jars_other_than_those_listed_are_refused_in_one_line_and_not_kept(
    jars: Jars, change: Callable[[str], str], wrong: str
) -> None:
    hashes = jars.source / "jars.sha256"
    hashes.write_text(change(hashes.read_text()))
    message = f"cannot install Example: these jars do not match {hashes}: {wrong}"
    with pytest.raises(SluiceError, match=f"^{re.escape(message)}. Hint: "):
        copy(jars)
    assert not jars.target.exists()


def test_without_maven_the_error_names_the_server_that_needs_it(jars: Jars, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installs.toolchains, "find_maven", lambda: None)
    monkeypatch.setattr(installs.shutil, "which", lambda _: None)
    installed = Jars("Installed", jars.source, jars.source)
    for run in (copy, lambda jars: installs._maven([installed, jars], jars.source / "log", threading.Event())):
        with pytest.raises(SluiceError, match=r"^cannot install Example: Maven, which downloads it, is missing\."):
            run(jars)
    assert installs._maven([installed], jars.source / "log", threading.Event()) is None


def test_spark_is_installed_only_where_it_is_asked_for(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path)  # type: ignore[call-arg]
    assert "install spark" not in {step.name for step in install_steps(settings)}
    # It needs Maven and Java also where Kafka, which needs them too, is not installed.
    for each in (settings, settings.model_copy(update={"kafka_bootstrap": "kafka.example.com:9092"})):
        steps = {step.name: step for step in install_steps(each, spark=True)}
        assert steps["install spark"].needs == ("install java",)
        assert steps["install java"].needs == ("install maven",)


def test_the_jars_folders_are_named_by_the_versions_of_their_poms() -> None:
    pom = ET.parse(SPARK.source / "pom.xml")  # noqa: S314 - the project's own file
    assert SPARK_JARS.name == f"spark-jars-{pom.findtext('m:version', namespaces=NAMESPACE)}"
    versions = {
        element.tag.removeprefix(f"{{{NAMESPACE['m']}}}").removesuffix(".version"): element.text
        for element in pom.iterfind("m:properties/*", NAMESPACE)
    }
    names = [line.split()[1] for line in (SPARK.source / "jars.sha256").read_text().splitlines()]
    assert {f"delta-spark_4.1_2.13-{versions['delta']}.jar", f"hadoop-aws-{versions['hadoop']}.jar"} <= {*names}
    assert f"s3-{versions['aws']}.jar" in names
    assert f"kafka-server-{kafka.VERSION}.jar" in (KAFKA.source / "jars.sha256").read_text()


JAVA = """\
#!/bin/bash
[ "$1" = --describe-module=jdk.incubator.vector ] || exit 1
echo "{answer}"
"""


def java(folder: Path, answer: str) -> Path:
    """Writes a Java that answers so when it is asked for Spark's module; returns its home."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(JAVA.format(answer=answer))
    program.chmod(0o755)
    return folder


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any other Java, on which this user may install nothing; returns the link to Spark's Java."""
    link = tmp_path / "tools" / "spark-java"
    link.parent.mkdir()
    monkeypatch.setattr(installs, "SPARK_JAVA_HOME", link)
    monkeypatch.setattr(installs.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(installs.toolchains.shutil, "which", lambda _: None)
    find = installs.toolchains.Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, text: iter(()) if self == Path("/usr/lib/jvm") else find(self, text))
    return link


def test_spark_runs_on_the_java_that_the_shell_names_and_follows_a_change(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("17.0.15", "21.0.2"):
        home = java(tmp_path / version, f"jdk.incubator.vector@{version}")
        monkeypatch.setenv("JAVA_HOME", str(home))
        installs._link_spark_java(tmp_path / "log", threading.Event())
        assert machine.resolve() == home
    assert [path.name for path in machine.parent.iterdir()] == ["spark-java"]


@pytest.mark.parametrize(
    "answer", ["jdk.incubator.vector not found", "jdk.incubator.vector@11.0.2", "jdk.incubator.vector@25.0.2"]
)
def test_a_java_that_cannot_run_spark_is_refused_with_what_to_install(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "java", answer)))
    with pytest.raises(SluiceError, match=r"^cannot install Spark: .* version 17 to 23.* Hint: .*default-jre-headless"):
        installs._link_spark_java(tmp_path / "log", threading.Event())
    assert not machine.exists()


def test_debians_java_is_installed_where_that_is_possible(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(name: str, *_: object) -> bool:
        assert name == "default-jre-headless"
        monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "java", "jdk.incubator.vector@17.0.15")))
        return True

    monkeypatch.setattr(installs, "_install_package", install)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    installs._link_spark_java(tmp_path / "log", threading.Event())
    assert machine.resolve() == tmp_path / "java"
