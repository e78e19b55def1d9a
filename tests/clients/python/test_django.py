"""Django sessions in its cache, on Django's own Redis cache and on django-redis, through HTTP."""

import time
import unittest

import django
import redis
from django.conf import settings
from django.core.cache import caches
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

from address import HOST, PORT, URL
from browser import Browser, wsgi_server
from harness import tap

settings.configure(
    SECRET_KEY="a secret of this test alone",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    INSTALLED_APPS=["django.contrib.sessions"],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SESSION_CACHE_ALIAS="core",
    CACHES={
        "core": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"{URL}/0",
        },
        "django_redis": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"{URL}/1"},
        "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    },
)
django.setup()


def login(request):
    request.session.cycle_key()
    request.session["user"] = request.GET["user"]
    request.session["cart"] = []
    return JsonResponse({"user": request.GET["user"]})


def cart(request):
    request.session["cart"] = request.session.get("cart", []) + [request.GET["item"]]
    return JsonResponse({"cart": request.session["cart"]})


def me(request):
    session = request.session
    return JsonResponse({"user": session.get("user"), "cart": session.get("cart", [])})


def short(request):
    request.session["user"] = "hasty"
    request.session.set_expiry(1)
    return JsonResponse({})


def logout(request):
    request.session.flush()
    return JsonResponse({"user": None})


urlpatterns = [path(view.__name__, view) for view in (login, cart, me, short, logout)]


class Sessions:
    """What holds for either cache; the subclasses say which and where its keys are."""

    alias = ""
    database = 0

    @classmethod
    def setUpClass(cls):
        settings.SESSION_CACHE_ALIAS = cls.alias
        cls.client = redis.Redis(HOST, PORT, db=cls.database)
        cls.client.flushdb()
        cls._serving = wsgi_server(get_wsgi_application())
        cls.base = cls._serving.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls._serving.__exit__(None, None, None)
        cls.client.close()

    def shortDescription(self):
        return f"Django sessions on {self.alias}: {super().shortDescription()}"

    def key(self, browser):
        return f":1:django.contrib.sessions.cache{browser.cookie('sessionid')}"

    def logged_in(self, user):
        browser = Browser(self.base)
        browser.get(f"/login?user={user}")
        return browser

    def test_life(self):
        """login, cart and a stored session with a lifetime of two weeks"""
        browser = self.logged_in("ann")
        browser.get("/cart?item=tea")
        browser.get("/cart?item=cup")
        self.assertEqual(browser.get("/me"), {"user": "ann", "cart": ["tea", "cup"]})
        ttl = self.client.ttl(self.key(browser))
        self.assertTrue(1_209_500 < ttl <= 1_209_600, ttl)

    def test_cycle_key(self):
        """logging in again changes the id and removes the old session"""
        browser = self.logged_in("ann")
        old = self.key(browser)
        browser.get("/login?user=ann")
        self.assertNotEqual(self.key(browser), old)
        self.assertEqual(self.client.exists(old), 0)

    def test_flush(self):
        """logging out destroys the session"""
        browser = self.logged_in("ann")
        old = self.key(browser)
        browser.get("/logout")
        self.assertEqual(self.client.exists(old), 0)
        self.assertIsNone(browser.get("/me")["user"])

    def test_expiry(self):
        """a session with a lifetime of one second expires"""
        browser = Browser(self.base)
        browser.get("/short")
        self.assertEqual(self.client.exists(self.key(browser)), 1)
        deadline = time.monotonic() + 10
        while self.client.exists(self.key(browser)):
            self.assertLess(time.monotonic(), deadline, "the session stays")
            time.sleep(0.01)
        self.assertIsNone(browser.get("/me")["user"])

    def test_many_users(self):
        """thirty users do not mix"""
        browsers = {f"user{n}": self.logged_in(f"user{n}") for n in range(30)}
        for user, browser in browsers.items():
            browser.get(f"/cart?item={user}")
        for user, browser in browsers.items():
            self.assertEqual(browser.get("/me"), {"user": user, "cart": [user]})

    def test_cache_commands(self):
        """the cache beneath: add, get_or_set, many, touch, delete and clear"""
        cache = caches[self.alias]
        self.assertTrue(cache.add("fresh", 1))
        self.assertFalse(cache.add("fresh", 2))
        self.assertEqual(cache.get_or_set("made", lambda: [1, "two"]), [1, "two"])
        self.assertEqual(cache.get_many(["fresh", "made", "absent"]), {"fresh": 1, "made": [1, "two"]})
        self.assertTrue(cache.touch("fresh", 100))
        self.assertFalse(cache.touch("absent", 100))
        self.assertTrue(cache.has_key("fresh"))
        self.assertEqual(cache.delete_many(["fresh", "absent"]) or 1, 1)
        cache.set("gone", 1, timeout=0)
        self.assertIsNone(cache.get("gone"))
        cache.clear()
        self.assertEqual(self.client.dbsize(), 0)


class Core(Sessions, unittest.TestCase):
    alias = "core"
    database = 0

    def test_increment(self):
        """Django's own cache counts with INCRBY"""
        cache = caches["core"]
        cache.set("counter", 40)
        self.assertEqual(cache.incr("counter", 2), 42)
        self.assertEqual(cache.decr("counter", 1), 41)


class DjangoRedis(Sessions, unittest.TestCase):
    alias = "django_redis"
    database = 1

    def test_extensions(self):
        """django-redis's own: ttl, persist, expire, keys and their iteration"""
        cache = caches["django_redis"]
        cache.set("a:1", 1, timeout=100)
        cache.set("a:2", 2, timeout=None)
        self.assertTrue(90 < cache.ttl("a:1") <= 100)
        self.assertIsNone(cache.ttl("a:2"))
        self.assertTrue(cache.persist("a:1"))
        self.assertTrue(cache.pexpire("a:1", 50_000))
        self.assertEqual(sorted(cache.keys("a:*")), ["a:1", "a:2"])
        self.assertEqual(sorted(cache.iter_keys("a:*")), ["a:1", "a:2"])


if __name__ == "__main__":
    tap.run(Core, DjangoRedis)
