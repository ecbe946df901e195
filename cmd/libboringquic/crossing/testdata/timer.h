// With this header before it an example of quiche's does not hang where it is linked to quiche: ev_timer_again stops a timer whose repeat is 0, and
// quiche_conn_timeout_as_nanos of 0.30.0 is 0 when it is time, as after a wait for the CPU that is longer than the timer. Here such a timer goes off at once.
#include <ev.h>

static inline void timer_again(struct ev_loop *loop, ev_timer *timer) {
  if (timer->repeat <= 0) {
    timer->repeat = 1e-9;
  }
  ev_timer_again(loop, timer);
}

#define ev_timer_again timer_again
