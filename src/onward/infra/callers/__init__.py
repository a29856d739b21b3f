"""Who calls the gateway: told by a token of the project, or by a JWT of an identity provider."""
