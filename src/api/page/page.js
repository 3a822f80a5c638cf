// Shows openapi.json as a page, and sends requests to this server. Text is only ever set as text, never as markup.
'use strict';

/** An element with properties and children. */
function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** What a reference points at. */
function resolve(openapi, schema) {
  if (!schema || !schema.$ref) return schema || {};
  return schema.$ref.slice(2).split('/').reduce((place, step) => place[step], openapi);
}

/** A type in a few words. */
function typeOf(openapi, schema) {
  const found = resolve(openapi, schema);
  if (found.enum) return found.enum.join(' | ');
  const options = found.oneOf || found.anyOf;
  if (options) return options.map((one) => typeOf(openapi, one)).filter((word) => word !== 'null').join(' | ');
  const type = Array.isArray(found.type) ? found.type.filter((word) => word !== 'null').join(' | ') : found.type;
  if (type === 'array') return 'list of ' + typeOf(openapi, found.items);
  return found.format ? `${type} (${found.format})` : type || 'object';
}

/** The fields of an object, those of its parts included. */
function fieldsOf(openapi, schema) {
  const found = resolve(openapi, schema);
  const one = (found.oneOf || []).find((option) => option.type !== 'null');
  if (one) return fieldsOf(openapi, one);
  const parts = (found.allOf || []).flatMap((part) => fieldsOf(openapi, part));
  const own = Object.entries(found.properties || {});
  return parts.concat(own.map(([name, field]) => ({ name, field, needed: (found.required || []).includes(name) })));
}

function fieldTable(openapi, schema) {
  const rows = fieldsOf(openapi, schema).map(({ name, field, needed }) => element('tr', {},
    element('td', {}, element('code', { textContent: name }), needed ? ' *' : ''),
    element('td', { textContent: typeOf(openapi, field) }),
    element('td', { textContent: field.description || '' })));
  return rows.length ? element('table', {}, ...rows) : null;
}

/** The form of one route, and what came back. */
function tryIt(path, method, operation) {
  const inputs = (operation.parameters || []).filter((one) => one.in !== 'header' || one.name === 'Idempotency-Key')
    .map((parameter) => ({ parameter, input: element('input', { size: 38, placeholder: parameter.name }) }));
  const body = operation.requestBody ? element('textarea', { value: '{}', spellcheck: false }) : null;
  const shown = element('pre', { hidden: true });
  const send = element('button', { type: 'button', textContent: 'Send' });
  send.addEventListener('click', async () => {
    let target = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const { parameter, input } of inputs) {
      if (parameter.in === 'path') target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value && parameter.in === 'query') query.set(parameter.name, input.value);
      else if (input.value) headers[parameter.name] = input.value;
    }
    const key = document.getElementById('key').value;
    const organization = document.getElementById('organization').value;
    if (key) headers['X-API-Key'] = key;
    if (organization) headers['X-Organization-ID'] = organization;
    if (body) headers['Content-Type'] = 'application/json';
    shown.hidden = false;
    shown.textContent = '…';
    try {
      const asked = query.size ? `${target}?${query}` : target;
      const answer = await fetch(asked, { method: method.toUpperCase(), headers, body: body ? body.value : undefined });
      shown.textContent = `${answer.status} ${answer.statusText}\n\n`;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        text += part.value;
        let pretty = text;
        try { pretty = JSON.stringify(JSON.parse(text), null, 2); } catch { /* a stream, or not whole yet */ }
        shown.textContent = `${answer.status} ${answer.statusText}\n\n${pretty}`;
      }
    } catch (error) {
      shown.textContent = String(error);
    }
  });
  const rows = inputs.map(({ parameter, input }) => element('tr', {},
    element('td', {}, element('code', { textContent: parameter.name }), parameter.required ? ' *' : ''),
    element('td', {}, input),
    element('td', { textContent: parameter.description || '' })));
  return [rows.length ? element('table', {}, ...rows) : null, body, element('p', {}, send), shown];
}

function route(openapi, path, method, operation) {
  const media = operation.requestBody && operation.requestBody.content['application/json'];
  const answers = Object.entries(operation.responses).map(([status, answer]) => element('tr', {},
    element('td', {}, element('code', { textContent: status })),
    element('td', { textContent: answer.description || '' })));
  const fields = media ? fieldTable(openapi, media.schema) : null;
  return element('details', {},
    element('summary', {},
      element('span', { className: 'method', textContent: method.toUpperCase() }), ' ',
      element('code', { textContent: path })),
    element('div', { className: 'inside' },
      element('p', { textContent: [operation.summary, operation.description].filter(Boolean).join(' ') }),
      fields ? element('h4', { textContent: 'Body' }) : null, fields,
      element('h4', { textContent: 'Answers' }), element('table', {}, ...answers),
      element('h4', { textContent: 'Try it' }), ...tryIt(path, method, operation)));
}

async function show() {
  const openapi = await (await fetch('openapi.json')).json();
  document.getElementById('about').textContent = `${openapi.info.description} Version ${openapi.info.version}.`;
  const place = document.getElementById('routes');
  place.replaceChildren();
  for (const tag of openapi.tags) {
    place.append(element('h2', { textContent: tag.name }), element('p', { textContent: tag.description || '' }));
    for (const [path, item] of Object.entries(openapi.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        if ((operation.tags || []).includes(tag.name)) place.append(route(openapi, path, method, operation));
      }
    }
  }
}

show().catch((error) => { document.getElementById('routes').textContent = String(error); });
