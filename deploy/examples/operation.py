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
from datetime import timedelta

from temporalio.client import Client, WorkflowFailureError
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError


async def run(workflow, workflow_id, request):
    client = await Client.connect(**ClientConfig.load_client_connect_config())
    handle = await client.start_workflow(
        workflow, request, id=workflow_id, task_queue=os.environ.get("TASK_QUEUE", "sync-multiplexer")
    )
    result = asyncio.create_task(handle.result())
    told = None
    while True:
        ended, _ = await asyncio.wait({result}, timeout=0.5)
        if ended:
            return result.result()
        try:
            progress = await handle.query("progress", rpc_timeout=timedelta(seconds=5))
        except RPCError:
            continue  # No worker answers just now; the workflow does not mind.
        if progress["phase"] != told:
            told = progress["phase"]
            print(told, file=sys.stderr)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    workflow, workflow_id, request = sys.argv[1:]
    try:
        print(json.dumps(asyncio.run(run(workflow, workflow_id, json.loads(request)))), flush=True)
        status = 0
    except WorkflowFailureError as failure:
        # The type is an error kind: `syncmux explain KIND`.
        cause = failure.cause
        kind = cause.type if isinstance(cause, ApplicationError) else type(cause).__name__
        print(f"{kind}: {cause}", file=sys.stderr, flush=True)
        status = 1
    # At once: the SDK's threads may still be at work, and an interpreter taken down around them was seen to hang or crash.
    os._exit(status)


if __name__ == "__main__":
    main()
