// Long work under way, in words.
import type { Job } from './api.ts'
import { bytes, count, rate, span } from './units.ts'

const names: Record<Job['kind'], string> = {
  verify: 'Checking held files',
  import: 'Importing',
  export: 'Exporting',
  fill: 'Filling a directory',
  backup: 'Making a backup',
}

export const title = (j: Job) => names[j.kind]

/** progress says how far a job is. */
export function progress(j: Job): string {
  const said: string[] = []
  if (j.total_files > 0) said.push(`${count(j.files)} of ${count(j.total_files)} files`)
  else if (j.files > 0) said.push(j.files === 1 ? '1 file' : `${count(j.files)} files`)
  said.push(j.total_bytes > 0 ? `${bytes(j.bytes)} of ${bytes(j.total_bytes)}` : bytes(j.bytes))
  said.push(rate(j.rate))
  if (j.left !== null) said.push(`${span(j.left)} left`)
  return said.join(', ')
}
