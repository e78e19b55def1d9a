<?php
// The same shop with Symfony's session handler, which reaches the server through phpredis.

require_once 'Symfony/Component/HttpFoundation/autoload.php';

use Symfony\Component\HttpFoundation\Session\Storage\Handler\RedisSessionHandler;

[$host, $port] = explode(':', getenv('TENURE_ADDR'));
$redis = new Redis();
$redis->connect($host, (int) $port);
session_set_save_handler(new RedisSessionHandler($redis), true);
ini_set('session.use_strict_mode', '1');
require __DIR__ . '/shop.php';
