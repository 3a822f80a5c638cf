#!/usr/bin/env python3
"""Starts an operation with Temporal's Python SDK, says on stderr where it is, and prints its result as JSON.

    operation.py WORKFLOW ID REQUEST

WORKFLOW is one of ForkWorkflow, ForkCollectionWorkflow, FollowWorkflow, SwitchWorkflow, RetireWorkflow, ResyncWorkflow and
VerifyWorkflow, ID its workflow id as in OPERATORS.md, REQUEST a JSON object: the message of that name in
proto/sync_multiplexer/v1.

Where Temporal is comes from its own configuration: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_*
or temporal.toml; TASK_QUEUE names the workers' queue. Needs `pip install temporalio`; nothing of sync-multiplexer.
"""

import asyncio
import json
import os
import sys

from temporalio.client import Client, WorkflowFailureError
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError


async def tell(handle):
    """Says each new phase."""
    told = None
    while True:
        progress = await handle.query("progress")
        if progress["phase"] != told:
            told = progress["phase"]
            print(told, file=sys.stderr)
        await asyncio.sleep(0.5)


async def run(workflow, workflow_id, request):
    client = await Client.connect(**ClientConfig.load_client_connect_config())
    handle = await client.start_workflow(
        workflow, request, id=workflow_id, task_queue=os.environ.get("TASK_QUEUE", "sync-multiplexer")
    )
    telling = asyncio.create_task(tell(handle))
    try:
        return await handle.result()
    finally:
        telling.cancel()


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    workflow, workflow_id, request = sys.argv[1:]
    try:
        result = asyncio.run(run(workflow, workflow_id, json.loads(request)))
    except WorkflowFailureError as failure:
        # The type is an error kind: `syncmux explain KIND`.
        cause = failure.cause
        kind = cause.type if isinstance(cause, ApplicationError) else type(cause).__name__
        sys.exit(f"{kind}: {cause}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
