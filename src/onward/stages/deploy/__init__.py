"""Deploy (stage 9): a registered model becomes an image, and the image proves itself on staging.

Takes a `ModelRef` and gives an `ImageRef` (`package`: a deterministic OCI image layout, made
without a container engine), then a `Deployment` (`accept`: the image, started on staging, agrees
with its schema and with training's golden predictions, refuses malformed input, answers in time).

Refuses: a trained folder whose content is not what was registered. An image that fails a check is
no error: its deployment says so, check by check, in words.
"""
