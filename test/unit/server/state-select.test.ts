import { selectOfState } from '../../../src/server/state-select.ts';

const state = {
  values: { a: 1, b: 2, 'c.d': 3 },
  next: ['n'],
  tasks: [
    {
      id: 't',
      name: 'n',
      path: [],
      error: null,
      interrupts: [{ id: 'i', value: 'q' }],
      checkpoint: null,
      state: null,
      result: null,
    },
  ],
  metadata: { step: 1 },
  created_at: null,
  checkpoint: null,
  parent_checkpoint: null,
};

test.each([
  [undefined, state],
  [null, state],
  [['next', 'checkpoint'], { next: ['n'], checkpoint: null }],
  [['values'], { values: state.values }],
  [['values.b', 'values.c.d', 'values.none'], { values: { b: 2, 'c.d': 3 } }],
  [['values.b', 'values'], { values: state.values }],
  [['interrupts'], { interrupts: [{ id: 'i', value: 'q' }] }],
])('%j', (select, expected) => {
  expect(selectOfState(state, select)).toEqual(expected);
});

test('values that are no object stay as they are', () => {
  expect(selectOfState({ ...state, values: [1] }, ['values.a'])).toEqual({ values: {} });
  expect(selectOfState({ ...state, values: 'text' }, ['values.a'])).toEqual({ values: 'text' });
});
