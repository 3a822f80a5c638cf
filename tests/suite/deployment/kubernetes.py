"""Compares Kubernetes objects, a JSON list on standard input, with the schemas in a folder; exits with 1 if one is wrong.

Kinds that are not Kubernetes' own have no schema there; their names are printed.
"""

import json
import pathlib
import sys

import jsonschema

# What the schemas call the file that they share.
DEFINITIONS = "https://kubernetes.io/api/_definitions.json"


def schema_file(folder, kind, version):
    group, _, version = version.rpartition("/")
    parts = [kind, group.split(".")[0], version] if group else [kind, version]
    return folder / ("-".join(parts).lower() + ".json")


def main():
    folder = pathlib.Path(sys.argv[1])
    definitions = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))
    wrong = False
    for item in json.load(sys.stdin):
        name = f"{item['kind']} {item['metadata']['name']}"
        file = schema_file(folder, item["kind"], item["apiVersion"])
        if not file.exists():
            print(f"no schema: {item['apiVersion']} {item['kind']}")
            continue
        schema = json.loads(file.read_text(encoding="utf-8"))
        resolver = jsonschema.RefResolver.from_schema(schema, store={DEFINITIONS: definitions})
        validator = jsonschema.Draft7Validator(schema, resolver=resolver)
        for error in validator.iter_errors(item):
            wrong = True
            print(f"{name}: {'/'.join(map(str, error.path))}: {error.message}"[:500])
    sys.exit(1 if wrong else 0)


main()
