/**
 * Names the runtime keeps for itself. They are the ones LangGraph uses in checkpoints and events,
 * so that one saver, one API and one client serve both runtimes.
 */

/** Entry of a graph: the channel its input is written to and the actor that reads it. */
export const START = '__start__';
/** Exit of a graph; also the result channel of the functional API. */
export const END = '__end__';
/** Writer name of a run's input. */
export const INPUT = '__input__';
/** Result of the previous run on this thread (functional API). */
export const PREVIOUS = '__previous__';
/** Channel of `Send` packets: one task each in the next step. */
export const TASKS = '__pregel_tasks';

// Pending writes with these names are notes about a task, not updates of a channel.
export const INTERRUPT = '__interrupt__';
export const RESUME = '__resume__';
export const ERROR = '__error__';
/** The task finished and wrote nothing. */
export const NO_WRITES = '__no_writes__';
/** What a functional `task` returned. */
export const RETURN = '__return__';
/** The run whose plain resume value the task consumed. */
export const RESUMED = '__resumed__';
/** Updates and gotos of a `Command` that resumed this checkpoint. */
export const COMMAND = '__command__';
/** One record of a side effect: started, done or failed. */
export const EFFECT = '__effect__';

const NOTES: ReadonlySet<string> = new Set([
  INTERRUPT,
  RESUME,
  ERROR,
  NO_WRITES,
  RETURN,
  RESUMED,
  COMMAND,
  EFFECT,
]);
/** True for a pending write that no channel receives. */
export const isNote = (name: string): boolean => NOTES.has(name);

/** Notes that say nothing about whether the task finished. */
const OPEN: ReadonlySet<string> = new Set([INTERRUPT, RESUME, ERROR, RESUMED, COMMAND, EFFECT]);
/** True for a pending write that only a finished task has. */
export const isResult = (name: string): boolean => !OPEN.has(name);
