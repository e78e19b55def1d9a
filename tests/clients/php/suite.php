<?php
// phpredis: its session handler, its handler beneath Symfony, and the client itself.
// Locking is left off here: its unlock script needs Lua; its commands are replayed elsewhere.

declare(strict_types=1);

[$host, $port] = explode(':', getenv('TENURE_ADDR') ?: throw new RuntimeException('TENURE_ADDR'));

/** Counts results and prints them in the Test Anything Protocol. */
final class Report
{
    private int $count = 0;
    private int $failed = 0;

    public function test(string $name, callable $body): void
    {
        $this->count++;
        try {
            $body();
            echo "ok {$this->count} - $name\n";
        } catch (Throwable $error) {
            $this->failed++;
            echo "not ok {$this->count} - $name\n  {$error->getMessage()}\n";
        }
    }

    public function finish(): never
    {
        echo "1..{$this->count}\n";
        exit($this->failed > 0 ? 1 : 0);
    }
}

function same(mixed $got, mixed $wanted, string $what): void
{
    if ($got !== $wanted) {
        throw new RuntimeException($what . ': got ' . var_export($got, true) . ', wanted ' . var_export($wanted, true));
    }
}

function between(int $got, int $low, int $high, string $what): void
{
    if ($got < $low || $got > $high) {
        throw new RuntimeException("$what: got $got, wanted $low to $high");
    }
}

/** A browser, as far as sessions are concerned. */
final class Browser
{
    public ?string $id = null;

    public function __construct(private string $base) {}

    public function get(string $path): array
    {
        $headers = $this->id === null ? '' : "Cookie: PHPSESSID={$this->id}\r\n";
        $context = stream_context_create(['http' => ['header' => $headers, 'timeout' => 10, 'ignore_errors' => true]]);
        $body = file_get_contents($this->base . $path, false, $context);
        foreach ($http_response_header as $line) {
            if (preg_match('/^Set-Cookie: PHPSESSID=([^;]+)/i', $line, $found)) {
                $this->id = $found[1] === 'deleted' ? null : $found[1];
            }
        }
        return json_decode((string) $body, true) ?? throw new RuntimeException("$path answered $body");
    }
}

/** PHP's own web server with four workers; stopped when the object goes. */
final class Shop
{
    public string $base;
    /** @var resource */
    private $process;

    public function __construct(string $router, array $settings)
    {
        $probe = stream_socket_server('tcp://127.0.0.1:0');
        $where = stream_socket_get_name($probe, false);
        fclose($probe);
        $command = ['php', '-S', $where];
        foreach ($settings as $name => $value) {
            array_push($command, '-d', "$name=$value");
        }
        $command[] = __DIR__ . "/$router";
        $quiet = ['file', '/dev/null', 'w'];
        $this->process = proc_open($command, [['file', '/dev/null', 'r'], $quiet, $quiet], $pipes, null, getenv() + ['PHP_CLI_SERVER_WORKERS' => '4']);
        $this->base = "http://$where";
        $this->wait($where);
    }

    private function wait(string $where): void
    {
        $deadline = microtime(true) + 10;
        while (!($socket = @stream_socket_client("tcp://$where", $code, $text, 1))) {
            if (microtime(true) > $deadline) {
                throw new RuntimeException("php -S does not listen: $text");
            }
            usleep(10_000);
        }
        fclose($socket);
    }

    public function stop(): void
    {
        // The workers are children of the server's own: they get the signal too.
        $pid = proc_get_status($this->process)['pid'];
        $children = trim((string) @file_get_contents("/proc/$pid/task/$pid/children"));
        foreach (array_filter(explode(' ', $children)) as $child) {
            posix_kill((int) $child, 15);
        }
        proc_terminate($this->process);
        proc_close($this->process);
    }
}

$report = new Report();
$redis = new Redis();
$redis->connect($host, (int) $port);
$redis->flushAll();

$handler = [
    'session.save_handler' => 'redis',
    'session.save_path' => "tcp://$host:$port",
    'session.gc_maxlifetime' => '600',
];
$shops = [
    'phpredis session handler' => ['shop.php', $handler, 'PHPREDIS_SESSION:'],
    'phpredis session handler in strict mode' => ['shop.php', $handler + ['session.use_strict_mode' => '1'], 'PHPREDIS_SESSION:'],
    'Symfony RedisSessionHandler' => ['shop-symfony.php', ['session.gc_maxlifetime' => '600'], 'sf_s'],
];
foreach ($shops as $label => [$router, $settings, $prefix]) {
    $shop = new Shop($router, $settings);
    $loggedIn = function (string $user) use ($shop): Browser {
        $browser = new Browser($shop->base);
        $browser->get("/login?user=$user");
        return $browser;
    };

    $report->test("$label: login, cart and a stored session with a lifetime", function () use ($redis, $loggedIn, $prefix) {
        $browser = $loggedIn('ann');
        $browser->get('/cart?item=tea');
        $browser->get('/cart?item=cup');
        same($browser->get('/me'), ['user' => 'ann', 'cart' => ['tea', 'cup']], 'the page');
        between($redis->ttl($prefix . $browser->id), 590, 600, 'lifetime in s');
    });
    $report->test("$label: reading renews the lifetime and leaves the value", function () use ($redis, $loggedIn, $prefix) {
        $browser = $loggedIn('ann');
        $before = $redis->get($prefix . $browser->id);
        $redis->expire($prefix . $browser->id, 5);
        $browser->get('/me');
        between($redis->ttl($prefix . $browser->id), 590, 600, 'lifetime in s');
        same($redis->get($prefix . $browser->id), $before, 'the value');
    });
    $report->test("$label: a new id at login, the old session removed", function () use ($redis, $loggedIn, $prefix) {
        $browser = $loggedIn('ann');
        $old = $browser->id;
        $browser->get('/login?user=bob');
        same($browser->id !== $old, true, 'a new id');
        same($redis->exists($prefix . $old), 0, 'the old session');
        same($browser->get('/me')['user'], 'bob', 'the user');
    });
    $report->test("$label: logout destroys the session", function () use ($redis, $loggedIn, $prefix) {
        $browser = $loggedIn('ann');
        $old = $browser->id;
        $browser->get('/logout');
        same($redis->exists($prefix . $old), 0, 'the session');
    });
    $report->test("$label: an id that the server never gave out", function () use ($shop, $settings, $label) {
        $chosen = 'chosenbytheattacker' . md5($label);
        $browser = new Browser($shop->base);
        $browser->id = $chosen;
        $browser->get('/login-same-id?user=eve');
        $strict = ($settings['session.use_strict_mode'] ?? '0') === '1' || !isset($settings['session.save_handler']);
        same($browser->id !== $chosen, $strict, 'a fresh id was given');
    });
    $shop->stop();
}

$report->test('phpredis: every byte comes back', function () use ($redis) {
    $every = implode('', array_map('chr', range(0, 255)));
    same($redis->set('bytes', $every), true, 'SET');
    same($redis->get('bytes'), $every, 'GET');
});
$report->test('phpredis: SET options, lifetimes and nil', function () use ($redis) {
    same($redis->set('k', 'v', ['nx', 'px' => 90_000]), true, 'SET NX');
    same($redis->set('k', 'v', ['nx', 'px' => 90_000]), false, 'SET NX again');
    between($redis->pttl('k'), 80_000, 90_000, 'lifetime in ms');
    same($redis->get('absent'), false, 'GET of nothing');
    same($redis->mget(['k', 'absent']), ['v', false], 'MGET');
    same($redis->del('k', 'absent'), 1, 'DEL');
});
$report->test('phpredis: hashes and scans', function () use ($redis) {
    $fields = [];
    for ($n = 0; $n < 300; $n++) {
        $fields["f$n"] = "v$n";
    }
    same($redis->hMSet('hash', $fields), true, 'HMSET');
    $all = $redis->hGetAll('hash');
    ksort($all);
    ksort($fields);
    same($all, $fields, 'HGETALL');
    $redis->setOption(Redis::OPT_SCAN, (string) Redis::SCAN_RETRY);
    $seen = [];
    $cursor = null;
    while ($page = $redis->hScan('hash', $cursor, '*', 10)) {
        $seen += $page;
    }
    same(count($seen), 300, 'fields seen by HSCAN');
});
$report->test('phpredis: a pipeline answers in order', function () use ($redis) {
    $replies = $redis->pipeline()->set('p', '1')->incr('p')->get('p')->exec();
    same($replies, [true, 2, '2'], 'the replies');
});
$report->test('phpredis: an error is reported and the connection goes on', function () use ($redis) {
    same($redis->get('hash'), false, 'GET of a hash');
    same(str_starts_with((string) $redis->getLastError(), 'WRONGTYPE'), true, 'the error');
    same($redis->ping(), true, 'PING');
});
$report->test('phpredis: SELECT keeps databases apart', function () use ($redis) {
    $redis->set('where', 'zero');
    $redis->select(2);
    same($redis->get('where'), false, 'in database 2');
    $redis->select(0);
    same($redis->get('where'), 'zero', 'in database 0');
});
$report->finish();
