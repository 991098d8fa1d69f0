#!/bin/sh
# How scene.h264 and scene.alaw were made (ffmpeg 5.1, libx264). Run in this folder to make them again.
# A slow zoom with sensor noise, so that every frame costs bits as a camera's does; each second a white square
# flashes for one frame and a 1 kHz tone beeps for 40 ms, so that skew can be measured.
set -e
ffmpeg -y -loglevel error -f lavfi -i 'mandelbrot=size=640x360:rate=25:start_scale=0.5:end_scale=0.0005:end_pts=500:maxiter=200' -t 20 \
  -vf "noise=alls=6:allf=t,drawbox=x=0:y=0:w=110:h=110:color=black:t=fill,drawbox=enable='lt(mod(t+0.001,1),0.04)':x=15:y=15:w=80:h=80:color=white:t=fill,format=yuv420p" \
  -c:v libx264 -profile:v baseline -preset medium -b:v 500k -maxrate 600k -bufsize 400k -g 50 -keyint_min 50 \
  -sc_threshold 0 -bf 0 -flags +cgop -x264-params repeat-headers=1 -f h264 scene.h264
ffmpeg -y -loglevel error -f lavfi -i "aevalsrc='0.05*sin(2*PI*t*(220+40*sin(2*PI*t/7)))+0.02*(random(0)-0.5)+0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.04)':s=8000:d=20" \
  -c:a pcm_alaw -f alaw scene.alaw
