<?php
// A shop on PHP's own session functions; the handler is chosen by the settings of the process.

session_start();
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/login') {
    session_regenerate_id(true);
    $_SESSION = ['user' => $_GET['user'], 'cart' => []];
} elseif ($path === '/login-same-id') {
    $_SESSION = ['user' => $_GET['user'], 'cart' => []];
} elseif ($path === '/cart') {
    $_SESSION['cart'][] = $_GET['item'];
} elseif ($path === '/logout') {
    $_SESSION = [];
    session_destroy();
}
header('Content-Type: application/json');
echo json_encode(['user' => $_SESSION['user'] ?? null, 'cart' => $_SESSION['cart'] ?? []]);
