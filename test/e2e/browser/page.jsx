/**
 * A chat on the official hooks, as an application has it. The address says which:
 * `?hook=v1|sse|websocket&api=URL`, and, once there is one, `&thread=ID`, so that a reload finds it again.
 */
import { useState } from 'react';
import { createRoot } from 'react-dom/client';
import { useStream as useStreamV1 } from '@langchain/langgraph-sdk/react';
import { useStream as useStreamV2 } from '@langchain/react';

const query = new URLSearchParams(location.search);
const apiUrl = query.get('api');
const hook = query.get('hook');

const human = (text) => ({ messages: [{ type: 'human', content: text, id: crypto.randomUUID() }] });
const textOf = ({ content }) =>
  typeof content === 'string' ? content : content.map(({ text = '' }) => text).join('');

function useThreadId() {
  const [threadId, setThreadId] = useState(query.get('thread'));
  return [
    threadId,
    (id) => {
      query.set('thread', id);
      history.replaceState(null, '', `?${query}`);
      setThreadId(id);
    },
  ];
}

/** As Agent Chat UI does it. */
function ChatV1() {
  const [threadId, onThreadId] = useThreadId();
  const [created, setCreated] = useState([]);
  const [finished, setFinished] = useState(0);
  const stream = useStreamV1({
    apiUrl,
    assistantId: 'chat',
    threadId,
    onThreadId,
    reconnectOnMount: true,
    fetchStateHistory: { limit: 100 },
    onCreated: ({ run_id: runId }) => setCreated((all) => [...all, runId]),
    onFinish: () => setFinished((n) => n + 1),
  });
  const options = { streamMode: ['values'], streamSubgraphs: true, streamResumable: true };
  return (
    <Chat
      stream={stream}
      created={created}
      note={`finished ${finished}, history ${stream.history.length}`}
      send={(text) =>
        stream.submit(human(text), {
          ...options,
          optimisticValues: (previous) => ({
            messages: [...(previous.messages ?? []), ...human(text).messages],
          }),
        })
      }
      answer={(value) => stream.submit(undefined, { ...options, command: { resume: value } })}
      renderMessage={(message, index) => {
        const { firstSeenState, branch, branchOptions } =
          stream.getMessagesMetadata(message, index) ?? {};
        const parent = firstSeenState?.parent_checkpoint;
        return (
          <Message
            key={message.id ?? index}
            message={message}
            edit={(text) => stream.submit(human(text), { ...options, checkpoint: parent })}
          >
            {branchOptions?.map((option, n) => (
              <button
                key={option}
                className="branch"
                disabled={option === branch}
                onClick={() => stream.setBranch(option)}
              >
                branch {n + 1}
              </button>
            ))}
          </Message>
        );
      }}
    />
  );
}

function ChatV2() {
  const [threadId, onThreadId] = useThreadId();
  const [created, setCreated] = useState([]);
  const [finished, setFinished] = useState(0);
  const stream = useStreamV2({
    apiUrl,
    assistantId: 'chat',
    threadId,
    onThreadId,
    transport: hook,
    onCreated: ({ runId }) => setCreated((all) => [...all, runId]),
    onCompleted: () => setFinished((n) => n + 1),
  });
  return (
    <Chat
      stream={stream}
      created={created}
      note={`finished ${finished}`}
      send={(text) => stream.submit(human(text))}
      // By its id: after a reload the interrupt is shown before the stream knows of it.
      answer={(value) => stream.respond(value, { interruptId: stream.interrupt.id })}
      renderMessage={(message, index) => (
        <MessageV2 key={message.id ?? index} message={message} stream={stream} />
      )}
    />
  );
}

/**
 * The checkpoint before the message was there. Not useMessageMetadata's: that follows each new state, and so
 * names one that holds the message, once the run has gone on.
 */
async function checkpointBefore(stream, message) {
  const states = await stream.client.threads.getHistory(stream.threadId, { limit: 100 });
  const holds = ({ values }) => values.messages?.some(({ id }) => id === message.id);
  return states.findLast(holds)?.parent_checkpoint?.checkpoint_id;
}

function MessageV2({ stream, message }) {
  const edit = async (text) =>
    stream.submit(human(text), { forkFrom: await checkpointBefore(stream, message) });
  return <Message message={message} edit={edit} />;
}

function Message({ message, edit, children }) {
  return (
    <p className={`message ${message.type}`} data-id={message.id}>
      <span className="text">{textOf(message)}</span>
      {message.type === 'human' && edit && (
        <button className="edit" onClick={() => edit(document.querySelector('#text').value)}>
          edit
        </button>
      )}
      {children}
    </p>
  );
}

function Chat({ stream, created, note, send, answer, renderMessage }) {
  const { messages, interrupt, isLoading, isThreadLoading, error } = stream;
  return (
    <main data-loading={isLoading || isThreadLoading} data-created={created.join(' ')}>
      <h1>Millrace, useStream {hook}</h1>
      {messages.map(renderMessage)}
      {interrupt?.value && (
        <p id="interrupt">
          {interrupt.value.question}
          <button id="approve" onClick={() => answer({ approved: true })}>
            yes
          </button>
        </p>
      )}
      <input id="text" placeholder="Say something" />
      <button id="send" onClick={() => send(document.querySelector('#text').value)}>
        send
      </button>
      <p id="status">
        {isLoading ? 'running' : 'idle'}, {note}
      </p>
      {error ? <p id="error">{String(error)}</p> : null}
    </main>
  );
}

const style = document.createElement('style');
style.textContent = `
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto }
  .message { padding: .4rem .8rem; border-radius: .6rem; background: #eee }
  .human { background: #d8e6ff; margin-left: 6rem }
  #interrupt { border: 1px solid #c80; padding: .4rem .8rem }
  #error { color: #b00 }
  button { margin-left: .5rem }`;
document.head.append(style);
createRoot(document.querySelector('#root')).render(hook === 'v1' ? <ChatV1 /> : <ChatV2 />);
