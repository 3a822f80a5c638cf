#!/usr/bin/env python3
"""Builds the application package for a Vespa that starts fresh, and deploys it.

  deploy.py --documents chunk --dimensions 1536 --config-server http://localhost:19071
  deploy.py --documents entity --output application.zip

`chunk` takes one document per chunk with vectors of the given length; `entity` takes one document per entity, which Vespa
cuts and embeds. Deploying again changes the schema in place; Vespa refuses what would lose data and says why.
"""

import argparse
import io
import json
import pathlib
import sys
import time
import urllib.error
import urllib.request
import zipfile

APPLICATION = pathlib.Path(__file__).resolve().parent / "application"

# Same bytes for the same input, so that a package can be compared with an earlier one.
EPOCH = (1980, 1, 1, 0, 0, 0)


def package(documents, dimensions):
    """The application package as the bytes of a zip file."""
    files = {"hosts.xml": APPLICATION / "hosts.xml", "services.xml": APPLICATION / documents / "services.xml"}
    for path in sorted(APPLICATION.glob("search/**/*.xml")):
        files[path.relative_to(APPLICATION).as_posix()] = path
    for path in sorted([*APPLICATION.glob("schemas/*.sd"), *(APPLICATION / documents).glob("*.sd")]):
        files[f"schemas/{path.name}"] = path
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for name in sorted(files):
            text = files[name].read_text(encoding="utf-8").replace("{{DIMENSIONS}}", str(dimensions))
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(entry, text)
    return archive.getvalue()


def request(url, body=None, content_type=None):
    """The answer's JSON. Ends the program with the server's words when it refuses."""
    call = urllib.request.Request(url, data=body)
    if content_type:
        call.add_header("Content-Type", content_type)
    try:
        with urllib.request.urlopen(call, timeout=120) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        words = error.read(100_000).decode("utf-8", "replace")
        try:
            words = json.loads(words)["message"]
        except (ValueError, KeyError, TypeError):
            pass
        sys.exit(f"{url} answered {error.code}: {words}")
    except OSError as error:
        sys.exit(f"{url} is not reachable: {error}; is the config server up, and is its port published?")


def deploy(config_server, archive, timeout_seconds):
    """Activates the package and waits until every service runs it."""
    tenant = f"{config_server.rstrip('/')}/application/v2/tenant/default"
    answer = request(f"{tenant}/prepareandactivate", archive, "application/zip")
    for line in answer.get("log") or []:
        print(f"  {line.get('level', '')}: {line.get('message', '')}")
    converge = f"{tenant}/application/default/environment/prod/region/default/instance/default/serviceconverge"
    deadline = time.monotonic() + timeout_seconds
    while not request(converge).get("converged"):
        if time.monotonic() > deadline:
            sys.exit(f"activated, but not every service runs it after {timeout_seconds} s: look at {converge}")
        time.sleep(1)
    print(f"session {answer.get('session-id')} is active and every service runs it")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", choices=["chunk", "entity"], required=True, help="what a document is")
    parser.add_argument("--dimensions", type=int, help="length of the dense vectors; with chunk only")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--config-server", metavar="URL", help="deploy there, such as http://localhost:19071")
    target.add_argument("--output", metavar="FILE", help="write the package instead of deploying it")
    parser.add_argument("--timeout", type=int, default=300, metavar="SECONDS", help="wait for the services (300)")
    options = parser.parse_args()
    if (options.documents == "chunk") != (options.dimensions is not None):
        parser.error("--dimensions belongs to --documents chunk, and is needed there")
    if options.dimensions is not None and not 1 <= options.dimensions <= 16_384:
        parser.error("--dimensions must be between 1 and 16384")

    archive = package(options.documents, options.dimensions)
    if options.output:
        pathlib.Path(options.output).write_bytes(archive)
        print(f"{options.output}: {len(archive)} bytes")
    else:
        deploy(options.config_server, archive, options.timeout)


if __name__ == "__main__":
    main()
