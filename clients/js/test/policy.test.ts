import { describe, expect, test } from 'vitest'
import { broken, CLOSE_CODES, closedWith } from '../src/core/codes.ts'
import type { Failure } from '../src/core/codes.ts'
import { decide, OPENS_WITHIN_MS, START } from '../src/core/policy.ts'
import type { Policy, PolicyEffect, PolicyEvent, Timer } from '../src/core/policy.ts'

/** A policy, and what it asked for since it was last looked at. */
class Run {
  policy: Policy = START
  #effects: PolicyEffect[] = []

  after(...events: readonly PolicyEvent[]): this {
    for (const event of events) {
      const [policy, effects] = decide(this.policy, event)
      this.policy = policy
      this.#effects.push(...effects)
    }
    return this
  }

  get state(): string {
    const { state } = this.policy
    return 'kind' in state ? `${state.name} ${state.kind} ${state.link}` : state.name
  }

  /** In words, without the timers that are stopped. */
  get asked(): string[] {
    return this.#effects.splice(0).filter(({ type }) => type !== 'stop').map(inWords)
  }
}

function inWords(effect: PolicyEffect): string {
  switch (effect.type) {
    case 'open':
      return `open ${effect.kind} ${effect.link}${effect.probe ? ' beside' : ''}`
    case 'start':
      return `start ${effect.timer} ${effect.ms}${effect.jitter ? ' jitter' : ''}`
    case 'admit':
      return effect.renew === 'nothing' ? 'admit' : `admit, renew ${effect.renew}`
    case 'leave':
    case 'stop':
      return effect.type
    default:
      return `${effect.type} ${effect.link}`
  }
}

const connect: PolicyEvent = { type: 'connect' }
const admitted: PolicyEvent = { type: 'admitted', sockets: true }
const heard = (link: number): PolicyEvent => ({ type: 'heard', link })
const lost = (link: number, failure: Failure = broken('cut')): PolicyEvent => ({ type: 'lost', link, failure })
const over = (timer: Timer): PolicyEvent => ({ type: 'timer', timer })

const onSocket = (): Run => new Run().after(connect, admitted, heard(1))
const onPolling = (): Run => new Run().after(connect, admitted, over('open'), heard(2))

describe('[CI10] blocked sockets', () => {
  test('a WebSocket that says nothing gives way to polling within 3 s', () => {
    const run = new Run().after(connect, admitted)
    expect(run.asked).toEqual(['admit', 'open websocket 1', `start open ${OPENS_WITHIN_MS}`])
    expect(OPENS_WITHIN_MS).toBeLessThan(3000)
    expect(run.after(over('open')).asked).toEqual(['close 1', 'open polling 2', 'start open 20000'])
    expect(run.after(heard(2)).state).toBe('live polling 2')
    expect(run.policy.blocked).toBe(true)
  })

  test('one that breaks before it has said anything does so at once', () => {
    expect(new Run().after(connect, admitted, lost(1)).state).toBe('opening polling 2')
  })

  test('one that the server closes with a word is no blocked one', () => {
    const run = new Run().after(connect, admitted, lost(1, closedWith(CLOSE_CODES.service_restart, '')))
    expect(run.state).toBe('waiting')
    expect(run.policy.blocked).toBe(false)
  })

  test('where polling does not get through either, nothing is known about sockets', () => {
    const run = new Run().after(connect, admitted, lost(1), lost(2), over('retry'), admitted)
    expect(run.state).toBe('opening websocket 3')
  })

  test('the server may want polling', () => {
    expect(new Run().after(connect, { type: 'admitted', sockets: false }).state).toBe('opening polling 1')
  })

  test('a link that is lost three times in a row is bad, and polling bears more', () => {
    const run = onSocket()
    for (const link of [1, 2]) run.after(lost(link), over('retry'), admitted, heard(link + 1))
    expect(run.state).toBe('live websocket 3')
    expect(run.after(lost(3), over('retry'), admitted).state).toBe('opening polling 4')
  })

  test('one that was good for a while is not', () => {
    const run = onSocket()
    for (const link of [1, 2, 3, 4]) run.after(over('settle'), lost(link), over('retry'), admitted, heard(link + 1))
    expect(run.state).toBe('live websocket 5')
  })
})

describe('[CI12] climbing back', () => {
  test('a WebSocket is tried beside polling, and takes over once polling is drained', () => {
    const run = onPolling()
    expect(run.asked.at(-1)).toBe('start climb 5000')
    expect(run.after(over('climb')).asked).toEqual(['open websocket 3 beside', 'start probe 10000'])
    expect(run.state).toBe('live polling 2')
    expect(run.after(heard(3)).asked).toEqual(['drain 2', 'start drain 5000'])
    expect(run.after({ type: 'drained', link: 2 }).asked).toEqual(['close 2', 'adopt 3', 'start settle 10000'])
    expect(run.state).toBe('live websocket 3')
    expect(run.policy.blocked).toBe(false)
  })

  test.each<[string, PolicyEvent]>([
    ['takes too long', over('drain')],
    ['breaks', lost(2)],
  ])('polling that %s while it is drained keeps nobody waiting', (_what, event) => {
    expect(onPolling().after(over('climb'), heard(3), event).state).toBe('live websocket 3')
  })

  test.each<[string, PolicyEvent]>([
    ['breaks', lost(3)],
    ['says nothing', over('probe')],
  ])('a WebSocket that %s is tried again later and later', (_what, event) => {
    const run = onPolling().after(over('climb'))
    expect(run.asked.length).toBeGreaterThan(0)
    expect(run.after(event).asked).toEqual(['close 3', 'start climb 10000'])
    expect(run.state).toBe('live polling 2')
  })

  test('a WebSocket that took over and is lost before it was good for a while counts as another climb that failed', () => {
    const run = onPolling().after(over('climb'), heard(3), { type: 'drained', link: 2 }, lost(3), over('retry'), admitted, lost(4), heard(5))
    expect(run.asked.at(-1)).toBe('start climb 10000')
  })

  test('a probe that is lost while polling gives way ends both, and they begin anew', () => {
    const run = onPolling().after(over('climb'), heard(3), lost(3))
    expect(run.state).toBe('waiting')
    expect(run.asked).toContain('close 2')
  })

  test('polling that ends takes its probe along', () => {
    const run = onPolling().after(over('climb'), lost(2))
    expect(run.asked).toContain('close 3')
    expect(run.after(heard(3)).state).toBe('waiting')
  })
})

describe('[CI11] trying again', () => {
  test('waits longer and longer, anywhere between 0 and that, and at most 10 s', () => {
    const run = new Run().after(connect)
    const waits: string[] = []
    for (let attempt = 0; attempt < 7; attempt++) {
      run.after({ type: 'refused', failure: broken('down') })
      waits.push(run.asked.at(-1) ?? '')
      run.after(over('retry'))
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000].map((ms) => `start retry ${ms} jitter`))
  })

  test('waits as long as the server asks', () => {
    const run = new Run().after(connect, { type: 'refused', failure: { ...broken('busy'), rest: 7000 } })
    expect(run.asked.at(-1)).toBe('start retry 7000')
    expect(run.after({ type: 'hint' }).state).toBe('waiting')
  })

  test('begins anew when the network is back', () => {
    const run = new Run().after(connect, { type: 'refused', failure: broken('down') }, { type: 'hint' })
    expect(run.state).toBe('admitting')
  })

  test('a hint makes sure that a WebSocket is alive, and tries one beside polling', () => {
    expect(onSocket().after({ type: 'hint' }).asked.at(-1)).toBe('check 1')
    expect(onPolling().after({ type: 'hint' }).asked.slice(-2)).toEqual(['check 2', 'start climb 0'])
  })

  test('a link that is refused right after it opened is not tried at once for ever', () => {
    const run = onSocket().after(lost(1, closedWith(4500, '')), over('retry'), admitted, heard(2), lost(2, closedWith(4500, '')))
    expect(run.asked.at(-1)).toBe('start retry 1000 jitter')
  })
})

describe('[CI15] the code table', () => {
  test.each([4400, 4403, 4404, 4409, 4410, 4413, 4422, 4424, 4499])('%i ends it, and only connect() begins anew', (code) => {
    const run = onSocket().after(lost(1, closedWith(code, 'no')))
    expect(run.state).toBe('closed')
    expect(run.asked.at(-1)).toBe('leave')
    expect(run.after({ type: 'hint' }, over('retry'), admitted, heard(1)).state).toBe('closed')
    expect(run.after(connect).state).toBe('admitting')
  })

  test.each([1000, 1001, 1006, 1012, 3000, 4000, 4399, 4500, 4503, 4529, 4999])('%i is tried again', (code) => {
    expect(onSocket().after(lost(1, closedWith(code, ''))).state).toBe('waiting')
  })

  test('a session that is not known any more is asked for anew: at once, then later, then no more', () => {
    const unauthorized = closedWith(4401, '')
    const run = onSocket().after(lost(1, unauthorized))
    expect(run.asked.at(-1)).toBe('admit, renew session')
    for (const link of [2, 3]) {
      run.after(admitted, lost(link, unauthorized))
      expect(run.asked.at(-1)).toMatch(/^start retry \d+ jitter$/u)
      expect(run.after(over('retry')).asked.at(-1)).toBe('admit, renew session')
    }
    expect(run.after(admitted, lost(4, unauthorized)).state).toBe('closed')
  })

  test('a server that forgets one session after the other is not given up (seed 10 of the fuzz)', () => {
    const run = onSocket()
    for (let link = 1; link < 10; link++) {
      run.after(lost(link, closedWith(4401, '')))
      expect(run.state).toBe(link === 1 ? 'admitting' : 'waiting')
      run.after(over('retry'), admitted, heard(link + 1))
    }
    expect(run.after({ type: 'lost', link: 10, failure: broken('cut') }).state).toBe('waiting')
  })

  test('a token that is refused is not shown again', () => {
    expect(new Run().after(connect, { type: 'refused', failure: closedWith(4401, '') }).state).toBe('closed')
  })

  test('a grant that became less is looked up', () => {
    const run = onPolling().after(lost(2, { ...closedWith(4403, ''), name: 'grant_too_low' }))
    expect(run.asked.at(-1)).toBe('admit, renew access')
  })

  test('[CI45] so is what is granted of a document that is damaged', () => {
    const run = onPolling().after(lost(2, { ...closedWith(4503, ''), name: 'document_damaged' }))
    expect(run.asked.at(-1)).toBe('admit, renew access')
  })
})

describe('[CI14] abandoned links', () => {
  test('what they say is nobody’s', () => {
    const run = onPolling()
    const before = run.policy
    expect(run.after(heard(1), lost(1), { type: 'drained', link: 1 }, lost(9)).policy).toBe(before)
  })

  test('disconnect() ends all of them, and the session', () => {
    const run = onPolling().after(over('climb'))
    expect(run.asked.length).toBeGreaterThan(0)
    expect(run.after({ type: 'disconnect' }).asked).toEqual(['close 2', 'close 3', 'leave'])
    expect(run.after(admitted, heard(3), over('retry'), over('climb')).state).toBe('off')
  })
})
