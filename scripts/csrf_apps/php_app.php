<?php
// PHP's own sessions with a token that is compared as the manual says, or without. /hook is not guarded.
$guarded = getenv('GUARDED') === '1';
session_set_cookie_params(['secure' => true, 'httponly' => true]);
session_start();
$_SESSION['token'] ??= bin2hex(random_bytes(32));
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$forms = [
    '/transfer' => '<input name="amount" value="10"><input name="to" value="ann">',
    '/comment' => '<textarea name="text">Hello</textarea>',
    '/hook' => '<input name="event" value="ping">',
];
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $sent = $_POST['token'] ?? $_SERVER['HTTP_X_CSRF_TOKEN'] ?? '';
    if ($guarded && $path !== '/hook' && !hash_equals($_SESSION['token'], $sent)) {
        http_response_code(403);
        exit('refused');
    }
    exit('done');
}
$links = implode(' ', array_map(fn($at) => "<a href=\"$at\">$at</a>", [...array_keys($forms), '/settings', '/search']));
$body = '';
if (isset($forms[$path])) {
    $field = $guarded && $path !== '/hook' ? "<input type=\"hidden\" name=\"token\" value=\"{$_SESSION['token']}\">" : '';
    $body = "<form method=\"post\" action=\"$path\">{$forms[$path]}$field<button>Send</button></form>";
}
if ($path === '/settings') {
    $headers = $guarded ? "'X-CSRF-Token': '{$_SESSION['token']}'" : '';
    $body = "<script>fetch('/settings', { method: 'POST', headers: { $headers }, body: new URLSearchParams({ nick: 'ann' }) }).catch(() => {});</script>";
}
if ($path === '/search') {
    $body = '<form action="/search"><input name="q"><button>Search</button></form>';
}
echo "<!doctype html><html lang=\"en\"><title>$path</title><link rel=\"icon\" href=\"data:,\">$links$body";
