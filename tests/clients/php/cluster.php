<?php
// phpredis as a client of a cluster, and its session handler for clusters.

$address = getenv('TENURE_ADDR');
$count = 0;
// Sessions want to begin before anything is written.
ob_start();

function check(string $name, bool $good, mixed $shown = null): void
{
    global $count;
    $count++;
    echo ($good ? 'ok' : 'not ok') . " $count - phpredis cluster: $name\n";
    if (!$good) {
        echo '  ' . var_export($shown, true) . "\n";
    }
}

$cluster = new RedisCluster(null, [$address], 2, 2);
foreach (range(0, 299) as $n) {
    $cluster->set("k:$n", "v$n");
}
$read = array_map(fn ($n) => $cluster->get("k:$n"), range(0, 299));
check('keys of all slots are found where they are', $read === array_map(fn ($n) => "v$n", range(0, 299)), $read);
check('there are three masters', count($cluster->_masters()) === 3, $cluster->_masters());
check('MGET over slots is split', $cluster->mget(['k:1', 'k:2', 'k:3']) === ['v1', 'v2', 'v3']);
check('DEL over slots is split', $cluster->del(['k:1', 'k:2', 'k:3']) === 3);
check('hashes', $cluster->hMSet('{t}h', ['a' => '1', 'b' => '2']) && $cluster->hGetAll('{t}h') === ['a' => '1', 'b' => '2']);

ini_set('session.save_handler', 'rediscluster');
ini_set('session.save_path', 'seed[]=' . $address . '&timeout=2&read_timeout=2');
ini_set('session.use_cookies', '0');
session_id('session-of-the-suite');
session_start();
$_SESSION['cart'] = ['apple'];
session_write_close();
$_SESSION = [];
session_start();
check('the session handler keeps a session', ($_SESSION['cart'] ?? null) === ['apple'], $_SESSION);
session_destroy();
check('and destroys it', $cluster->exists('PHPREDIS_CLUSTER_SESSION:session-of-the-suite') === 0);
echo "1..$count\n";
