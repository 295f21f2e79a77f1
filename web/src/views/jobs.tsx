import type { Job, JobList } from '../api.ts'
import { useAsk } from '../ask.ts'
import { progress, title } from '../jobs.ts'
import { Meter } from '../parts.tsx'

/** RunningJobs shows long work under way; nothing while there is none. */
export function RunningJobs() {
  const jobs = useAsk<JobList>('jobs', 2).data?.jobs ?? []
  if (jobs.length === 0) return null
  return (
    <section class="jobs" aria-labelledby="jobs-title">
      <h2 id="jobs-title">Under way</h2>
      {jobs.map((j) => (
        <Running key={j.kind} of={j} />
      ))}
    </section>
  )
}

function Running({ of: j }: { of: Job }) {
  const [done, total] = j.total_bytes > 0 ? [j.bytes, j.total_bytes] : [j.files, j.total_files]
  return (
    <div>
      <p>{title(j)}</p>
      {total > 0 && <Meter value={done} of={total} label={title(j)} />}
      <p class="quiet text-small">{progress(j)}</p>
    </div>
  )
}
