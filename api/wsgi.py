"""What gunicorn serves: `api.wsgi:application`."""

from __future__ import annotations

import sys

import logs
from api import create_app
from jobs.errors import LoadError
from settings import Settings, SettingsError

try:
    settings = Settings.from_env()
    logs.configure(settings.log_format)
    application = create_app(settings)
except (SettingsError, LoadError) as error:
    print(f"capataz: {error}", file=sys.stderr)
    # gunicorn's code for an application that cannot load: it stops instead of trying again.
    raise SystemExit(4) from None
