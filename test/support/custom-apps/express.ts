/** An Express app as a project brings it (langgraph.json, `http.app`). */
import express from 'express';

export const app = express();
app.use((_request, response, next) => {
  response.setHeader('x-seen-by', 'express');
  next();
});
app.use('/threads', express.json(), (request, response, next) => {
  const { metadata } = (request.body ?? {}) as { metadata?: { forbidden?: boolean } };
  if (metadata?.forbidden === true) response.status(403).send('not this one');
  else next();
});
app.use('/info', (_request, response, next) => {
  response.cookie('a', '1', { path: '' }).cookie('b', '2', { path: '' });
  next();
});
app.get('/hello/:name', (request, response) => {
  response.json({ hello: request.params.name, query: request.query['q'] });
});
app.post('/echo', express.text({ type: () => true }), (request, response) => {
  response.status(201).send(request.body);
});
app.get('/runs/afakeroute', (_request, response) => {
  response.send('mine');
});
app.get('/cookies', (_request, response) => {
  response.cookie('a', '1', { path: '' }).cookie('b', '2', { path: '' }).status(204).end();
});

export const nothing = { some: 'object' };
