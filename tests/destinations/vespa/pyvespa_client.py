"""Drives the server at the given URL with pyvespa, and prints what it saw as one JSON object."""

import collections
import json
import sys

from vespa.application import Vespa
from vespa.exceptions import VespaError

TYPE = dict(schema="base_entity", namespace="airweave")
app = Vespa(url=sys.argv[1].rsplit(":", 1)[0], port=int(sys.argv[1].rsplit(":", 1)[1]))
told = {}


def documents(first, last):
    for n in range(first, last):
        yield {"id": f"doc {n}", "fields": {"name": f"doc {n}", "textual_representation": "words " * 300}}


def counting(name):
    counts = told[name] = collections.Counter()

    def count(response, _):
        counts[str(response.status_code)] += 1

    return count


def refused_feed(**what):
    """The status of a put that the client raises for."""
    try:
        return app.feed_data_point(**what, **TYPE).status_code
    except VespaError as error:
        return error.__cause__.response.status_code


app.feed_iterable(documents(0, 60), callback=counting("fed"), **TYPE)
app.feed_async_iterable(documents(60, 120), callback=counting("fed over HTTP/2"), **TYPE)
told["refused"] = refused_feed(data_id="bad", fields={"nothing": 1})
told["got"] = app.get_data(data_id="doc 7", **TYPE).json["fields"]["name"]
told["absent"] = app.get_data(data_id="absent", **TYPE).status_code
app.update_data(data_id="doc 8", fields={"name": "new"}, **TYPE)
told["updated"] = app.get_data(data_id="doc 8", **TYPE).json["fields"]["name"]
told["made"] = app.update_data(data_id="made", fields={"name": "made"}, create=True, **TYPE).status_code
told["condition"] = refused_feed(data_id="doc 8", fields={"name": "x"}, condition="base_entity.name == 'old'")
told["removed"] = app.delete_data(data_id="made", **TYPE).status_code
told["visited"] = sum(
    len(page.documents)
    for slice in app.visit(content_cluster_name="airweave", slices=2, wanted_document_count=50, **TYPE)
    for page in slice
)
yql = 'select * from sources * where name contains "doc 7"'
told["found"] = app.query(body={"yql": yql}).json["root"]["fields"]["totalCount"]
while True:
    answer = app.delete_all_docs(content_cluster_name="airweave", slices=1, **TYPE)
    left = sum(
        len(page.documents) for slice in app.visit(content_cluster_name="airweave", slices=1, **TYPE) for page in slice
    )
    if left == 0:
        break
told["left"] = left
print(json.dumps(told))
