-- Items that end by themselves. An expired item is invisible at once and removed by the sweeper later.

ALTER TABLE store_items
  ADD COLUMN ttl_minutes double precision,
  -- null: stays
  ADD COLUMN expires_at  timestamptz;
CREATE INDEX store_items_expiry ON store_items (expires_at) WHERE expires_at IS NOT NULL;
