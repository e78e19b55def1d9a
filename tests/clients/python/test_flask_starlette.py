"""Flask-Session on Flask, and starsessions on Starlette behind uvicorn, through HTTP."""

import threading
import time
import unittest

import redis
import redis.asyncio
import uvicorn
from flask import Flask, request, session
from flask_session import Session
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starsessions import SessionAutoloadMiddleware, SessionMiddleware, regenerate_session_id
from starsessions.stores.redis import RedisStore

from address import HOST, PORT, URL
from browser import Browser, wsgi_server
from harness import tap

LIFETIME_S = 600


class Sessions:
    """What a shop does with sessions; the subclasses bring the framework."""

    framework = ""
    prefix = ""
    cookie = "session"
    # starsessions leaves the old session to its lifetime.
    removes_old = True

    def shortDescription(self):
        return f"{self.framework}: {super().shortDescription()}"

    def logged_in(self, user):
        browser = Browser(self.base)
        browser.get(f"/login?user={user}")
        return browser

    def key(self, browser):
        return self.prefix + browser.cookie(self.cookie)

    def test_life(self):
        """login, cart and a stored session with a lifetime"""
        browser = self.logged_in("ann")
        browser.get("/cart?item=tea")
        browser.get("/cart?item=cup")
        self.assertEqual(browser.get("/me"), {"user": "ann", "cart": ["tea", "cup"]})
        ttl = self.client.ttl(self.key(browser))
        self.assertTrue(LIFETIME_S - 10 < ttl <= LIFETIME_S, ttl)

    def test_renewal(self):
        """each request writes the session and so renews its lifetime"""
        browser = self.logged_in("ann")
        self.client.expire(self.key(browser), 5)
        browser.get("/me")
        self.assertGreater(self.client.ttl(self.key(browser)), LIFETIME_S - 10)

    def test_regenerate(self):
        """a new id takes the session over"""
        browser = self.logged_in("ann")
        old = self.key(browser)
        browser.get("/regenerate")
        self.assertNotEqual(self.key(browser), old)
        self.assertEqual(self.client.exists(old), 0 if self.removes_old else 1)
        self.assertEqual(browser.get("/me")["user"], "ann")

    def test_logout(self):
        """logging out destroys the session"""
        browser = self.logged_in("ann")
        old = self.key(browser)
        browser.get("/logout")
        self.assertEqual(self.client.exists(old), 0)
        self.assertIsNone(browser.get("/me")["user"])


def flask_shop(client):
    app = Flask(__name__)
    app.config.update(
        SESSION_TYPE="redis", SESSION_REDIS=client, PERMANENT_SESSION_LIFETIME=LIFETIME_S
    )
    Session(app)

    @app.get("/login")
    def login():
        session["user"], session["cart"] = request.args["user"], []
        return {}

    @app.get("/cart")
    def cart():
        session["cart"] = session["cart"] + [request.args["item"]]
        return {}

    @app.get("/me")
    def me():
        return {"user": session.get("user"), "cart": session.get("cart", [])}

    @app.get("/regenerate")
    def regenerate():
        app.session_interface.regenerate(session)
        return {}

    @app.get("/logout")
    def logout():
        session.clear()
        return {}

    return app


class FlaskSession(Sessions, unittest.TestCase):
    framework = "Flask-Session"
    prefix = "session:"

    @classmethod
    def setUpClass(cls):
        cls.client = redis.Redis(HOST, PORT, db=2)
        cls.client.flushdb()
        cls._serving = wsgi_server(flask_shop(cls.client))
        cls.base = cls._serving.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls._serving.__exit__(None, None, None)
        cls.client.close()


async def login(request):
    request.session.update(user=request.query_params["user"], cart=[])
    return JSONResponse({})


async def cart(request):
    request.session["cart"] = request.session["cart"] + [request.query_params["item"]]
    return JSONResponse({})


async def me(request):
    session = request.session
    return JSONResponse({"user": session.get("user"), "cart": session.get("cart", [])})


async def regenerate(request):
    regenerate_session_id(request)
    return JSONResponse({})


async def logout(request):
    request.session.clear()
    return JSONResponse({})


def starlette_shop():
    store = RedisStore(URL + "/3", prefix="star:")
    return Starlette(
        routes=[Route(f"/{view.__name__}", view) for view in (login, cart, me, regenerate, logout)],
        middleware=[
            Middleware(
                SessionMiddleware, store=store, lifetime=LIFETIME_S, rolling=True, cookie_https_only=False
            ),
            Middleware(SessionAutoloadMiddleware),
        ],
    )


class Starsessions(Sessions, unittest.TestCase):
    framework = "starsessions on Starlette"
    prefix = "star:"
    removes_old = False

    @classmethod
    def setUpClass(cls):
        cls.client = redis.Redis(HOST, PORT, db=3)
        cls.client.flushdb()
        config = uvicorn.Config(starlette_shop(), host="127.0.0.1", port=0, log_level="error")
        cls._server = uvicorn.Server(config)
        cls._thread = threading.Thread(target=cls._server.run, daemon=True)
        cls._thread.start()
        deadline = time.monotonic() + 20
        while not cls._server.started:
            assert time.monotonic() < deadline, "uvicorn does not start"
            time.sleep(0.01)
        port = cls._server.servers[0].sockets[0].getsockname()[1]
        cls.base = f"http://127.0.0.1:{port}"

    @classmethod
    def tearDownClass(cls):
        cls._server.should_exit = True
        cls._thread.join()
        cls.client.close()


if __name__ == "__main__":
    tap.run(FlaskSession, Starsessions)
