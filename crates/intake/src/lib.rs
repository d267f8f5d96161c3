//! From the wire to the queue: receives, verifies, splits and publishes; answers 200 only when durable.
