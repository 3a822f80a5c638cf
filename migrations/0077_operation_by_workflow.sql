-- When an operation begins, an earlier one of the same workflow id that never recorded its end is over.

CREATE INDEX operation_running_by_workflow ON sync_multiplexer.operation (workflow_id) WHERE state = 'running';
