#!/bin/sh
# How the scene was made (ffmpeg 5.1 with libx264, libvpx, libopus and libspeex). Run in this folder to make it again.
# A slow zoom with sensor noise, so that every frame costs bits as a camera's does; each second a white square
# flashes for one frame and a 1 kHz tone beeps for 40 ms, so that skew can be measured.
set -e
scene() {
  ffmpeg -y -loglevel error -f lavfi -i 'mandelbrot=size=640x360:rate=25:start_scale=0.5:end_scale=0.0005:end_pts=500:maxiter=200' -t 20 \
    -vf "noise=alls=6:allf=t,drawbox=x=0:y=0:w=110:h=110:color=black:t=fill,drawbox=enable='lt(mod(t+0.001,1),0.04)':x=15:y=15:w=80:h=80:color=white:t=fill,format=yuv420p" "$@"
}
scene -c:v libx264 -profile:v baseline -preset medium -b:v 500k -maxrate 600k -bufsize 400k -g 50 -keyint_min 50 \
  -sc_threshold 0 -bf 0 -flags +cgop -x264-params repeat-headers=1 -f h264 scene.h264
# No hidden frames and no look-ahead, as in a call; key frames at the same pictures as above.
scene -c:v libvpx -b:v 290k -maxrate 390k -bufsize 290k -g 50 -keyint_min 50 -deadline good -cpu-used 2 -auto-alt-ref 0 \
  -lag-in-frames 0 -threads 2 -f ivf scene.ivf
ffmpeg -y -loglevel error -f lavfi -i "aevalsrc='0.05*sin(2*PI*t*(220+40*sin(2*PI*t/7)))+0.02*(random(0)-0.5)+0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.04)':s=8000:d=20" \
  -c:a pcm_alaw -f alaw scene.alaw
# The same sound in other codecs, in frames of 20 ms; their look-ahead of 0–14 ms is taken off in front, so that the
# beep stays with the flash.
encode() {
  delay=$1; rate=$2; shift 2
  ffmpeg -y -loglevel error -f alaw -ar 8000 -ac 1 -i scene.alaw -af "aresample=$rate,atrim=start=$delay,asetpts=PTS-STARTPTS,apad=whole_dur=20" \
    -t 20 -ar "$rate" -ac 1 "$@"
}
encode 0.0015 16000 -c:a g722 -f g722 scene.g722
encode 0.0065 48000 -c:a libopus -b:a 24k -frame_duration 20 -application voip -f ogg scene.opus
encode 0.010 8000 -c:a libspeex -cbr_quality 6 -f ogg scene.nb.spx
encode 0.0139 16000 -c:a libspeex -cbr_quality 6 -f ogg scene.wb.spx
