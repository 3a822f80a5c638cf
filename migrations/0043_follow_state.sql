-- How a slot stands that is followed: how far it was behind the raw store when they were last compared, up to when it has
-- everything, and since when that fails. Written at the end of every round by whoever follows; for people and alerts, nothing
-- decides by it.

CREATE TABLE sync_multiplexer.follow_state (
    slot_id uuid PRIMARY KEY,
    sync_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    -- The follow that wrote this.
    operation_id uuid NOT NULL,
    -- Entities to write or delete, and the age of the oldest change when they were compared; NULL: not compared yet.
    behind_entities bigint CHECK (behind_entities >= 0),
    oldest_change_ms bigint CHECK (oldest_change_ms >= 0),
    compared_at timestamptz,
    caught_up_at timestamptz,
    -- NULL: the last round went well.
    failing_since timestamptz,
    error_kind text,
    error_message text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (slot_id, sync_id, organization_id)
        REFERENCES sync_multiplexer.slot (slot_id, sync_id, organization_id) ON DELETE CASCADE,
    CONSTRAINT follow_state_compared_once CHECK (
        (behind_entities IS NULL) = (compared_at IS NULL) AND (oldest_change_ms IS NULL) = (compared_at IS NULL)
    ),
    CONSTRAINT follow_state_caught_up_after_comparing CHECK (caught_up_at <= compared_at),
    CONSTRAINT follow_state_fails_for_a_reason CHECK (
        (failing_since IS NULL) = (error_kind IS NULL) AND (error_kind IS NULL) = (error_message IS NULL)
    )
);
