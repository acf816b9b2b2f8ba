"""What gunicorn serves: `gunicorn registry_ui.wsgi`."""

import gc
import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_ui.settings")

application = get_wsgi_application()

# All pages now, which Django would import with the first request: with `--preload` gunicorn's processes share them, and
# the collector leaves them alone, where looking at them would make each process a copy.
import_module(settings.ROOT_URLCONF)
gc.freeze()
