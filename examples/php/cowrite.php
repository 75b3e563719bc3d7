<?php

declare(strict_types=1);

/** A token of cowrite. $documents: what this user may do where, such as ['notes/*' => 'write', '*' => 'read']. */
function cowrite_token(string $userId, string $name, array $documents, int $seconds = 3600): string
{
    $encode = fn (string $bytes): string => rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    $key = base64_decode(strtr(explode(',', (string) getenv('COWRITE_SECRET'))[0], '-_', '+/'));
    if (strlen($key) !== 32) {
        throw new RuntimeException('COWRITE_SECRET is missing, or is not what `cowrite secret` prints');
    }
    $claims = json_encode([
        'sub' => $userId, 'name' => $name, 'documents' => (object) $documents,
        'iat' => time(), 'exp' => time() + $seconds,
        'jti' => vsprintf('%s%s-%s-%s-%s-%s%s%s', str_split(bin2hex(random_bytes(16)), 4)),
    ], JSON_THROW_ON_ERROR);
    $header = $encode('{"alg":"dir","enc":"A256GCM"}');
    $nonce = random_bytes(12);
    $hidden = openssl_encrypt($claims, 'aes-256-gcm', $key, OPENSSL_RAW_DATA, $nonce, $tag, $header);

    return "$header..{$encode($nonce)}.{$encode($hidden)}.{$encode($tag)}";
}
