-- Who changed which limit, when and why. No foreign keys on purpose: this outlives the operations and organisations it names.

CREATE TABLE sync_multiplexer.throttle_change (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    organization_id uuid,
    operation_id uuid,
    requested_by text NOT NULL,
    reason text NOT NULL,
    before jsonb NOT NULL,
    after jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT throttle_change_of_all_is_no_tenants CHECK (
        (subject = 'all') = (organization_id IS NULL) AND (subject = 'all') = (operation_id IS NULL)
    )
);
