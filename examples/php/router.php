<?php

// Notes that several people write at once: PHP knows who they are and what they may do, and cowrite, beside it, keeps what they write.
//
// php -S 127.0.0.1:8080 -t ../dist router.php      (../dist is what `npm run build` makes in the folder above)

declare(strict_types=1);

require __DIR__ . '/cowrite.php';

const READERS = ['Rita']; // These may look, and not write. Yours is a database.
const LOGIN = '<form method="post"><label>Your name <input name="name" autofocus></label> <button>Come in</button></form>';

session_start();
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$name = $_SESSION['name'] ?? null;
if ($path === '/') {
    if (preg_match('/^\S.{0,79}$/u', $_POST['name'] ?? '')) {
        session_regenerate_id(true);
        $_SESSION['name'] = $_POST['name'];
        header('Location: /notes/first', true, 303);
    } else {
        echo LOGIN;
    }
} elseif (preg_match('#^/notes/([a-z0-9-]+)(/token)?$#D', $path, $found)) { // a "*" in a document's name would be all documents
    if ($name === null) {
        http_response_code(401);
        echo 'Log in at / first.';
    } elseif (!isset($found[2])) {
        readfile($_SERVER['DOCUMENT_ROOT'] . '/php/index.html');
    } else {
        $grant = in_array($name, READERS, true) ? 'read' : 'write';
        header('Content-Type: application/json');
        echo json_encode([
            'cowrite' => getenv('COWRITE_URL') ?: 'http://127.0.0.1:8000/',
            'token' => cowrite_token($name, $name, ["notes/$found[1]" => $grant]),
        ]);
    }
} else {
    return false; // a file of the built pages
}
