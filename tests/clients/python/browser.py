"""A browser, as far as sessions are concerned, and the web servers that it visits."""

import json
import threading
import urllib.request
from contextlib import contextmanager
from http.cookiejar import CookieJar
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class Browser:
    """Keeps cookies, sends requests, reads JSON."""

    def __init__(self, base):
        self._base = base
        self._jar = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))

    def get(self, path):
        with self._opener.open(self._base + path, timeout=10) as response:
            return json.load(response)

    def cookie(self, name):
        """The value of a cookie, or None."""
        return next((cookie.value for cookie in self._jar if cookie.name == name), None)


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format, *args):
        pass


class _ThreadedServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextmanager
def wsgi_server(application):
    """Serves a WSGI application on a port of the system's choice; yields its origin."""
    server = make_server("127.0.0.1", 0, application, _ThreadedServer, _QuietHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
