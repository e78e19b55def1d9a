<?php
// Predis 1.1, as Debian packages it, in cluster mode and with Sentinels.

require 'Predis/autoload.php';

$nodes = json_decode(getenv('TENURE_NODES'), true);
$count = 0;

function check(string $name, bool $good, mixed $shown = null): void
{
    global $count;
    $count++;
    echo ($good ? 'ok' : 'not ok') . " $count - Predis: $name\n";
    if (!$good) {
        echo '  ' . var_export($shown, true) . "\n";
    }
}

/** Tries until it works: a failover takes as long as it takes. */
function eventually(callable $work): mixed
{
    $deadline = microtime(true) + 20;
    while (true) {
        try {
            return $work();
        } catch (Predis\PredisException $error) {
            if (microtime(true) > $deadline) {
                throw $error;
            }
            usleep(20_000);
        }
    }
}

function kill_at(string $port): void
{
    global $nodes;
    foreach ($nodes as $node) {
        if (str_ends_with($node['address'], ":$port")) {
            // 9 is SIGKILL; the constant needs an extension.
            exec('kill -9 ' . $node['pid']);
        }
    }
}

function cluster(array $nodes): void
{
    $at = array_map(fn ($node) => 'tcp://' . $node['address'], $nodes);
    $client = new Predis\Client($at, ['cluster' => 'redis']);
    foreach (range(0, 299) as $n) {
        $client->set("k:$n", "v$n");
    }
    $read = array_map(fn ($n) => $client->get("k:$n"), range(0, 299));
    check('cluster: keys of all slots are found where they are', $read === array_map(fn ($n) => "v$n", range(0, 299)), $read);
    check('cluster: keys of one slot in one command', $client->mset('{t}a', 1, '{t}b', 2) == 'OK' && $client->mget('{t}a', '{t}b') === ['1', '2']);
    $replies = $client->pipeline(fn ($pipe) => array_map(fn ($n) => $pipe->get("k:$n"), range(0, 99)));
    check('cluster: a pipeline is spread over the nodes and answered in order', $replies === array_slice($read, 0, 100), $replies);
    $client->set('foo', 'before');
    usleep(200_000); // Redis replicates after it has acknowledged.
    $owner = $client->getConnection()->getConnectionBySlot(12182)->getParameters()->port;
    kill_at((string) $owner);
    check('cluster: when a primary is killed, its successor is found', eventually(fn () => $client->get('foo')) === 'before');
    check('cluster: and written to', eventually(fn () => $client->set('foo', 'after')) == 'OK');
}

function sentinel(): void
{
    $sentinels = array_map(fn ($at) => "tcp://$at?timeout=2", explode(',', getenv('TENURE_SENTINELS')));
    $client = new Predis\Client($sentinels, ['replication' => 'sentinel', 'service' => getenv('TENURE_MASTER')]);
    foreach (range(0, 199) as $n) {
        $client->set("k:$n", "v$n");
    }
    check('Sentinels: the master is found and serves every key', $client->get('k:7') === 'v7');
    usleep(200_000); // As above.
    $master = $client->getConnection()->getMaster()->getParameters()->port;
    kill_at((string) $master);
    check('Sentinels: when the master is killed, another is written to', eventually(fn () => $client->set('foo', 'after')) == 'OK');
    check('Sentinels: and read from', eventually(fn () => $client->get('foo')) === 'after');
}

$argv[1] === 'cluster' ? cluster($nodes) : sentinel();
echo "1..$count\n";
