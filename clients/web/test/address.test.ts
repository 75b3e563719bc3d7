import { describe, expect, test } from 'vitest'
import { linkTo, LONGEST_NAME, readAddress, serverUrl } from '../src/address.ts'

function nameOf(url: string): string {
  return readAddress(new URL(url)).name
}

describe('[PG2] the name', () => {
  test.each([
    ['http://host/', 'demo'],
    ['http://host/?doc=plan', 'plan'],
    ['http://host/?doc=a%2Fb%25c%3Fd%23e', 'a/b%c?d#e'],
    ['http://host/?doc=%E5%90%8C%E6%9C%9F+%F0%9F%91%8B', '同期 👋'],
    ['http://host/?doc=%20%20', 'demo'],
    ['http://host/?doc=a%00b%0A', 'ab'],
    ['http://host/#plan', 'plan'],
    ['http://host/#na%C3%AFve%20plan', 'naïve plan'],
    ['http://host/#100%', '100%'],
    ['http://host/?doc=old#new', 'new'],
  ])('%s is %s', (url, name) => {
    expect(nameOf(url)).toBe(name)
  })

  test('is cut between characters, not within one', () => {
    expect(nameOf(`http://host/?doc=${'👋'.repeat(300)}`)).toBe('👋'.repeat(LONGEST_NAME))
  })

  test.each(['plan', 'a/b%c?d#e&f=g+h', '同期 👋', '..', '%2e%2e'])('a link to %s leads there', (name) => {
    const link = linkTo({ name, editor: 'rich' }, new URL('https://host/notes/?doc=other&x=1#y'))
    expect(link.href).toMatch(/^https:\/\/host\/notes\/\?doc=/u)
    expect(readAddress(link)).toEqual({ name, editor: 'rich' })
  })

  test('an unknown editor is the first one', () => {
    expect(readAddress(new URL('http://host/?editor=word')).editor).toBe('markdown')
  })
})

describe('[PG15] the way to the server', () => {
  test.each([
    ['http://host:8000/?doc=x#y', 'http://host:8000/'],
    ['https://host/', 'https://host/'],
    ['https://host/notes/', 'https://host/notes/'],
    ['https://host/notes/index.html?doc=x', 'https://host/notes/'],
  ])('%s is served at %s', (page, server) => {
    expect(serverUrl(new URL(page))).toBe(server)
  })
})
