/** The files of docker/, parsed. */
import { readFileSync, readdirSync } from 'node:fs';
import { DockerfileParser } from 'dockerfile-ast';
import { parse, parseAllDocuments } from 'yaml';

const FOLDER = new URL('../../docker/', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, FOLDER), 'utf8');

export interface Compose {
  services: Record<string, ComposeService>;
  volumes: Record<string, unknown>;
}
export interface ComposeService {
  image?: string;
  command?: string[];
  environment?: Record<string, string>;
  volumes?: string[];
  depends_on?: Record<string, unknown> | string[];
  stop_grace_period?: string;
  healthcheck?: unknown;
}

/** @param variables for ${NAME} */
export function readCompose(variables: Record<string, string>): Compose {
  const text = read('compose.yaml').replaceAll(
    /\$\{(\w+)(?::([-?])([^}]*))?\}/g,
    (_all, name: string, kind: string | undefined, rest: string | undefined) =>
      variables[name] ?? (kind === '-' ? (rest ?? '') : ''),
  );
  return parse(text, { merge: true }) as Compose;
}

export interface Resource {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
  /** Where it stands. */
  file: string;
  [part: string]: unknown;
}

/** @throws naming the file, on what is no YAML */
export function readKubernetes(): Resource[] {
  return readdirSync(new URL('kubernetes/', FOLDER)).flatMap((file) =>
    parseAllDocuments(read(`kubernetes/${file}`), { uniqueKeys: true }).map((document) => {
      const [error] = 'errors' in document ? document.errors : [];
      if (error !== undefined) throw new Error(`${file}: ${error.message}`);
      return { ...(document.toJS() as Omit<Resource, 'file'>), file } as Resource;
    }),
  );
}

export interface DockerInstruction {
  keyword: string;
  /** As written, without the keyword. */
  text: string;
}

export function readDockerfile(): DockerInstruction[] {
  return DockerfileParser.parse(read('Dockerfile'))
    .getInstructions()
    .map((instruction) => ({
      keyword: instruction.getKeyword(),
      text: instruction.getArgumentsContent() ?? '',
    }));
}

/** What the image runs: ENTRYPOINT and CMD in their JSON form, with the image's paths. */
export function imageCommand(): { entrypoint: string[]; command: string[] } {
  const json = (keyword: string): string[] =>
    JSON.parse(readDockerfile().findLast((i) => i.keyword === keyword)?.text ?? '') as string[];
  return { entrypoint: json('ENTRYPOINT'), command: json('CMD') };
}

/** ENV of the image. */
export function imageEnvironment(): Record<string, string> {
  return Object.fromEntries(
    readDockerfile()
      .filter(({ keyword }) => keyword === 'ENV')
      .flatMap(({ text }) =>
        [...text.matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']): [string, string] => [
          name,
          value,
        ]),
      ),
  );
}
