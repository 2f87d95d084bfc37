import { textsAt } from '../../../src/store/texts.ts';

const value = {
  title: 'T',
  n: 7,
  none: null,
  author: { name: 'Ada' },
  parts: [{ text: 'one' }, { text: 'two' }, { other: true }],
};

test.each([
  ['title', ['T']],
  ['n', ['7']],
  ['author', ['{"name":"Ada"}']],
  ['author.name', ['Ada']],
  ['author.*', ['Ada']],
  ['parts[0].text', ['one']],
  ['parts[-1].other', ['true']],
  ['parts[*].text', ['one', 'two']],
  ['none', []],
  ['absent.deeper', []],
  ['title.length', []],
  ['constructor', []],
])('the path %s leads to %j', (path, texts) => {
  expect(textsAt(value, path)).toEqual(texts);
});

test('$ is all of it', () => {
  expect(textsAt({ a: 1 }, '$')).toEqual(['{"a":1}']);
});
