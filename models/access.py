"""The table of who may call the API."""

from __future__ import annotations

import peewee

from models.base import Table


class ApiToken(Table):
    """A token that was given out: `id` is its public part, `digest` all that is known of the rest.

    Several may have one `name`, which owns what they submit: so a token can be replaced.
    """

    id = peewee.TextField(primary_key=True)
    name = peewee.TextField()
    role = peewee.TextField()
    digest = peewee.BlobField()
    created_on = peewee.BigIntegerField()
    expires_on = peewee.BigIntegerField(null=True)
    revoked_on = peewee.BigIntegerField(null=True)
    last_used = peewee.BigIntegerField(null=True)

    class Meta:
        table_name = "api_token"


ApiToken.add_index(
    ApiToken.index(ApiToken.name, name="api_token_live", where=ApiToken.revoked_on.is_null())
)
