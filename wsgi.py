"""The WSGI application, for any server that wants one: `app`."""

from hie_server import create_app

app = create_app()
