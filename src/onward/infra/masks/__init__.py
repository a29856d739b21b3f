"""Masks: values made unreadable, coarse, or readable to a role, by keys from the secrets.

Takes Arrow columns as they are read, and single values of requests; gives the same masked value
for both. Keyed values are texts that name their kind and the id of their key:

- ``p-<key>-<32 hex>`` a pseudonym: HMAC-SHA-256, its first 128 bits;
- ``h-<key>-<64 hex>`` a hash: HMAC-SHA-256;
- ``s-<key>-<base64>`` encrypted, equal values alike: AES-SIV (RFC 5297);
- ``e-<key>-<base64>`` encrypted afresh each time: AES-256-GCM.

Each domain has a key of its own, derived from the newest key of a ring: ``mask-tokens`` for what
must stay stable, ``mask-reveal`` for what is encrypted afresh. A ring that no secret store has is
made on first use. Old keys of a ring stay readable.
"""
