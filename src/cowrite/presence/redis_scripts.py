"""What runs inside the Redis server, in Lua. Each script has one key. Times are the server's own, in milliseconds."""

from __future__ import annotations

from hashlib import sha1
from typing import Final


class Script:
    """A script and the name that the server knows it by."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local key = KEYS[1]
local function whole(number) return string.format('%.0f', number) end
local function living(lease) return redis.call('ZRANGEBYSCORE', key, '(' .. whole(now - lease), '+inf') end
local function note(process, when, memory)
    redis.call('ZADD', key, whole(when), process)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now - memory))
    redis.call('PEXPIRE', key, memory)
end
"""

BEAT: Final = Script(f"""{_NOW}
local process, lease, memory = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local before = tonumber(redis.call('ZSCORE', key, process) or '0')
note(process, now, memory)
local answer = living(lease)
table.insert(answer, 1, before > now - lease and 1 or 0)
return answer
""")
"""Process, milliseconds of a lease, milliseconds for which the dead are known → whether its lease held, whose leases hold."""

LEAVE: Final = Script(f"""{_NOW}
note(ARGV[1], now - tonumber(ARGV[2]), tonumber(ARGV[3]))
""")
"""As for ``BEAT``; the process is dead from now on."""

PROCESSES: Final = Script(f"""{_NOW}
local lease = tonumber(ARGV[1])
return {{living(lease), redis.call('ZRANGEBYSCORE', key, '-inf', whole(now - lease))}}
""")
"""Milliseconds of a lease → whose leases hold, and who is known to be dead."""

READ: Final = Script("""
local found = redis.call('HGETALL', KEYS[1])
local lifetime = tonumber(ARGV[1])
if #found > 0 and redis.call('PTTL', KEYS[1]) < lifetime / 2 then redis.call('PEXPIRE', KEYS[1], lifetime) end
return found
""")
"""Milliseconds that the hash is to live → session, record, session, record …"""

WRITE: Final = Script("""
local last = 2 + 2 * tonumber(ARGV[2])
for i = 3, last, 2 do
    local found = redis.call('HGET', KEYS[1], ARGV[i])
    if found and string.sub(found, 1, #ARGV[i + 1]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
for i = last + 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
local lifetime = tonumber(ARGV[1])
if redis.call('PTTL', KEYS[1]) < lifetime then redis.call('PEXPIRE', KEYS[1], lifetime) end
""")
"""Milliseconds that the hash is to live at least, a number of removals, session and beginning of the record for each, then
session and record of what is put. A session is removed only while its record begins so."""
